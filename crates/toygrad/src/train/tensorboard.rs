//! Event files that TensorBoard reads: records of a length, a checksum, an `Event` message and a
//! checksum (<https://github.com/tensorflow/tensorboard>, `tensorflow/core/util/event.proto`).

use super::{Callback, History, Next, Record};
use crate::protobuf::Message;
use crate::{Error, Result};
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

/// Writes the numbers of each epoch for TensorBoard (`tensorboard --logdir FOLDER`).
///
/// ```
/// use toygrad::train::TensorBoard;
/// # let folder = std::env::temp_dir().join(format!("toygrad-tb-{}", std::process::id()));
/// let mut board = TensorBoard::new(&folder)?;
/// for step in 0..3 {
///     board.scalar("loss", step, 1.0 / (step + 1) as f64)?;
/// }
/// # drop(board);
/// # std::fs::remove_dir_all(&folder).unwrap();
/// # Ok::<(), toygrad::Error>(())
/// ```
pub struct TensorBoard {
    path: PathBuf,
    out: BufWriter<File>,
}

fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |t| t.as_secs_f64())
}

impl TensorBoard {
    /// Into a new file in this folder, which is made if it is not there.
    ///
    /// # Errors
    /// What the system says.
    pub fn new(folder: impl Into<PathBuf>) -> Result<TensorBoard> {
        let folder = folder.into();
        let name = format!("events.out.tfevents.{:.0}.{}", now(), std::process::id());
        let path = folder.join(name);
        let fault = |e| Error::file(&path, None, format!("cannot make it: {e}"));
        fs::create_dir_all(&folder).map_err(fault)?;
        let out = BufWriter::new(File::create(&path).map_err(fault)?);
        let mut board = TensorBoard { path, out };
        board.event(time().bytes(3, "brain.Event:2"))?;
        Ok(board)
    }

    /// Adds a number of this name.
    ///
    /// # Errors
    /// What the system says.
    pub fn scalar(&mut self, name: &str, step: u64, x: f64) -> Result<()> {
        let value = Message::default().bytes(1, name).float(2, x as f32);
        let summary = Message::default().message(1, &value);
        self.event(time().int(2, step as i64).message(5, &summary))
    }

    fn event(&mut self, Message(event): Message) -> Result<()> {
        let length = (event.len() as u64).to_le_bytes();
        let mut record = length.to_vec();
        record.extend(checksum(&length).to_le_bytes());
        record.extend(&event);
        record.extend(checksum(&event).to_le_bytes());
        let written = self.out.write_all(&record).and_then(|()| self.out.flush());
        written.map_err(|e| Error::file(&self.path, None, format!("cannot write it: {e}")))
    }
}

/// An event of now.
fn time() -> Message {
    Message::default().double(1, now())
}

/// CRC-32C, masked as TensorFlow's records want it.
fn checksum(data: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for &byte in data {
        crc ^= u32::from(byte);
        for _ in 0..8 {
            crc = (crc >> 1) ^ (0x82f6_3b78 & (crc & 1).wrapping_neg());
        }
    }
    (!crc).rotate_right(15).wrapping_add(0xa282_ead8)
}

impl Callback for TensorBoard {
    fn on_epoch(&mut self, record: &Record) -> Result<Next> {
        for (name, x) in record.numbers() {
            self.scalar(name, record.epoch, x)?;
        }
        Ok(Next::Continue)
    }

    fn on_end(&mut self, _: &History) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_masked() {
        // The check value of CRC-32C, unmasked.
        let masked = checksum(b"123456789");
        assert_eq!(
            masked.wrapping_sub(0xa282_ead8).rotate_left(15),
            0xe306_9283
        );
    }
}
