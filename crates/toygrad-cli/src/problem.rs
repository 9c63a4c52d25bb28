//! What is to be learned: the data, split, and what it means.

use crate::args::Train;
use crate::failure::Result;
use toygrad::data::{self, Arrays};
use toygrad::io::Task;

/// A learning problem.
pub struct Problem {
    /// A short name, for the folder.
    pub name: String,
    /// What it is, in words.
    pub title: String,
    /// What to learn from.
    pub train: Arrays,
    /// What to test on.
    pub test: Arrays,
    /// Classes or numbers.
    pub task: Task,
    /// How many numbers a sample has.
    pub features: usize,
}

impl Problem {
    /// Reads and splits the data.
    pub fn load(settings: &Train) -> Result<Problem> {
        let (images, labels) = data::digits()?;
        let all = Arrays::new(images, labels)?;
        let (train, test) = data::stratified_split(&all, settings.test, settings.seed)?;
        Ok(Problem {
            name: "digits".into(),
            title: "handwritten digits".into(),
            train,
            test,
            task: Task::Classification((0..10).map(|i| i.to_string()).collect()),
            features: 64,
        })
    }

    /// How many numbers a prediction has.
    pub fn outputs(&self) -> usize {
        match &self.task {
            Task::Classification(classes) => classes.len(),
            Task::Regression => 1,
        }
    }
}
