//! Batches in a seeded order, made ahead of time on a thread.

use super::Dataset;
use super::random::{Purpose, Stream};
use crate::{Error, Result};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

/// Cuts a dataset into batches.
///
/// The order of an epoch depends on the seed and the epoch's number alone, so a run is resumed by
/// `epoch_from(epoch, batch)`: two numbers are all there is to save.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::data::{Arrays, Loader};
/// let data = Arrays::new(Value::arange(0..10).reshape([10, 1]), Value::arange(0..10))?;
/// let loader = Loader::new(data, 4).shuffle(42).prefetch(2);
/// assert_eq!(loader.batches(), 3);
/// let targets = |epoch, skip| -> Result<Vec<Vec<i64>>> {
///     loader.epoch_from(epoch, skip).map(|batch| batch?.1.to_vec()).collect()
/// };
/// assert_eq!(targets(3, 0)?, targets(3, 0)?);
/// assert_ne!(targets(3, 0)?, targets(4, 0)?);
/// assert_eq!(targets(3, 0)?[1..], targets(3, 1)?);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Debug)]
pub struct Loader<D> {
    dataset: Arc<D>,
    batch_size: usize,
    seed: Option<u64>,
    drop_last: bool,
    prefetch: usize,
    limit: usize,
}

impl<D> Clone for Loader<D> {
    fn clone(&self) -> Self {
        Loader {
            dataset: self.dataset.clone(),
            ..*self
        }
    }
}

impl<D: Dataset + 'static> Loader<D> {
    /// Batches of `batch_size` samples in the dataset's order, the last one maybe smaller (a
    /// dataset smaller than a batch makes one small batch); made when they are asked for.
    ///
    /// A batch size of 0 is an error that the first batch of an epoch gives.
    pub fn new(dataset: D, batch_size: usize) -> Loader<D> {
        let dataset = Arc::new(dataset);
        Loader {
            dataset,
            batch_size,
            seed: None,
            drop_last: false,
            prefetch: 0,
            limit: usize::MAX,
        }
    }

    /// Another order each epoch, from this seed.
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Leaves out a last batch that is smaller than the others: a compiled step then sees one
    /// shape only. A dataset smaller than one batch then has no batch at all, which is an error.
    pub fn drop_last(mut self, drop_last: bool) -> Self {
        self.drop_last = drop_last;
        self
    }

    /// Makes up to `batches` batches ahead on a thread of its own; 0 makes them when asked for.
    /// The batches are the same.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.prefetch = batches;
        self
    }

    /// Ends epochs after so many batches: for data of which one pass is too long, as text by
    /// windows. Shuffled, each epoch has others.
    pub fn limit(mut self, batches: usize) -> Self {
        self.limit = batches;
        self
    }

    /// How many batches an epoch has.
    pub fn batches(&self) -> usize {
        let n = self.dataset.len();
        let all = match (self.batch_size, self.drop_last) {
            (0, _) => 0,
            (size, true) => n / size,
            (size, false) => n.div_ceil(size),
        };
        all.min(self.limit)
    }

    /// How many samples the dataset has.
    pub fn samples(&self) -> usize {
        self.dataset.len()
    }

    /// The dataset.
    pub fn dataset(&self) -> &D {
        &self.dataset
    }

    /// The samples of epoch `n` in its order.
    fn order(&self, n: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.dataset.len()).collect();
        if let Some(seed) = self.seed {
            Stream::new(seed, Purpose::Epoch, n).shuffle(&mut order);
        }
        order
    }

    /// The batches of epoch `n`. The same `n` gives the same batches; shuffled, another `n` gives
    /// another order.
    ///
    /// Each item is a `Result`: a batch size of 0, an empty dataset, and what the dataset finds.
    pub fn epoch(&self, n: u64) -> Epoch<D> {
        self.epoch_from(n, 0)
    }

    /// [`epoch`](Loader::epoch) without its first `batch` batches: where an interrupted run goes
    /// on.
    #[track_caller]
    pub fn epoch_from(&self, n: u64, batch: usize) -> Epoch<D> {
        let end = self.batches();
        let mut plan = Plan {
            dataset: self.dataset.clone(),
            order: Vec::new(),
            batch_size: self.batch_size,
            next: batch,
            end,
            fault: None,
        };
        if end == 0 {
            plan.fault = Some(Error::argument(match (self.samples(), self.batch_size) {
                (0, _) => "the dataset is empty: there is nothing to learn from".into(),
                (_, 0) => "a batch size of 0: it must be at least 1".into(),
                _ if self.limit == 0 => "epochs are limited to 0 batches".into(),
                (n, size) => {
                    format!("{n} samples make no batch of {size}, and smaller ones are dropped")
                }
            }));
            return Epoch(Source::Here(plan));
        }
        plan.order = self.order(n);
        if self.prefetch == 0 || batch >= end {
            return Epoch(Source::Here(plan));
        }
        let (send, receive) = sync_channel(self.prefetch);
        let left = end - batch;
        let spawned = std::thread::Builder::new()
            .name("toygrad-loader".into())
            .spawn({
                let plan = plan.clone();
                move || {
                    // The receiver hangs up when the epoch is dropped.
                    for item in plan {
                        if send.send(item).is_err() {
                            return;
                        }
                    }
                }
            });
        Epoch(match spawned {
            Ok(thread) => Source::Ahead {
                receive: Some(receive),
                thread: Some(thread),
                left,
            },
            // No thread to be had: the batches are the same without.
            Err(_) => Source::Here(plan),
        })
    }
}

/// The batches of one epoch, each a `Result`; see [`Loader::epoch`].
pub struct Epoch<D: Dataset>(Source<D>);

enum Source<D: Dataset> {
    Here(Plan<D>),
    Ahead {
        receive: Option<Receiver<Result<D::Batch>>>,
        thread: Option<JoinHandle<()>>,
        left: usize,
    },
}

/// Which batches are still to be made.
struct Plan<D> {
    dataset: Arc<D>,
    order: Vec<usize>,
    batch_size: usize,
    next: usize,
    end: usize,
    fault: Option<Error>,
}

impl<D> Clone for Plan<D> {
    fn clone(&self) -> Self {
        Plan {
            dataset: self.dataset.clone(),
            order: self.order.clone(),
            fault: self.fault.clone(),
            ..*self
        }
    }
}

impl<D: Dataset> Iterator for Plan<D> {
    type Item = Result<D::Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.fault.take() {
            return Some(Err(fault));
        }
        if self.next >= self.end {
            return None;
        }
        let start = self.next * self.batch_size;
        let end = (start + self.batch_size).min(self.order.len());
        self.next += 1;
        Some(self.dataset.batch(&self.order[start..end]))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let n = self.end.saturating_sub(self.next) + usize::from(self.fault.is_some());
        (n, Some(n))
    }
}

impl<D: Dataset> Iterator for Epoch<D> {
    type Item = Result<D::Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        match &mut self.0 {
            Source::Here(plan) => plan.next(),
            Source::Ahead { left: 0, .. } => None,
            Source::Ahead { receive, left, .. } => {
                let item = receive.as_ref()?.recv();
                *left = if item.is_ok() { *left - 1 } else { 0 };
                Some(item.unwrap_or_else(|_| {
                    let message = "the dataset panicked while it made a batch";
                    Err(Error::argument(message))
                }))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        match &self.0 {
            Source::Here(plan) => plan.size_hint(),
            Source::Ahead { left, .. } => (*left, Some(*left)),
        }
    }
}

impl<D: Dataset> ExactSizeIterator for Epoch<D> {}

/// The thread ends before the epoch is gone.
impl<D: Dataset> Drop for Epoch<D> {
    fn drop(&mut self) {
        if let Source::Ahead {
            receive, thread, ..
        } = &mut self.0
        {
            drop(receive.take());
            if let Some(thread) = thread.take() {
                let _ = thread.join();
            }
        }
    }
}
