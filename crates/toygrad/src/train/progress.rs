//! A bar on the terminal.

use super::{Callback, History, Next, Plan, Record, Step};
use crate::Result;
use indicatif::{ProgressBar as Bar, ProgressStyle};

/// A bar that fills with each epoch, with the loss beside it; nothing where standard error is no
/// terminal.
pub struct ProgressBar {
    bar: Bar,
    plan: Option<Plan>,
    loss: f64,
}

impl ProgressBar {
    /// For a run.
    pub fn new() -> ProgressBar {
        let bar = Bar::no_length();
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos}/{len} {elapsed}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        ProgressBar {
            bar,
            plan: None,
            loss: f64::NAN,
        }
    }

    /// Runs `f`, which prints something, with the bar out of the way.
    pub fn suspend<T>(&self, f: impl FnOnce() -> T) -> T {
        self.bar.suspend(f)
    }
}

impl Default for ProgressBar {
    fn default() -> Self {
        ProgressBar::new()
    }
}

impl Callback for ProgressBar {
    fn on_start(&mut self, plan: &Plan) -> Result<()> {
        self.plan = Some(*plan);
        self.bar.set_length(plan.batches as u64);
        Ok(())
    }

    fn on_step(&mut self, step: &Step) -> Result<Next> {
        // Smoothed, as single batches are noisy.
        self.loss = match step.batch {
            0 => step.loss,
            _ => 0.9 * self.loss + 0.1 * step.loss,
        };
        let epochs = self.plan.map_or(0, |p| p.epochs);
        self.bar.set_position(step.batch as u64 + 1);
        let message = format!("epoch {}/{epochs} loss {:.4}", step.epoch + 1, self.loss);
        self.bar.set_message(message);
        Ok(Next::Continue)
    }

    fn on_epoch(&mut self, _: &Record) -> Result<Next> {
        self.bar.set_position(0);
        Ok(Next::Continue)
    }

    fn on_end(&mut self, _: &History) -> Result<()> {
        self.bar.finish_and_clear();
        Ok(())
    }
}
