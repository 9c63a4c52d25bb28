//! Messages of protocol buffers, written field by field
//! (<https://protobuf.dev/programming-guides/encoding>).

/// A message: what was written of it so far.
#[derive(Clone, Default)]
pub(crate) struct Message(pub Vec<u8>);

impl Message {
    fn varint(&mut self, mut n: u64) {
        while n >= 0x80 {
            self.0.push(n as u8 | 0x80);
            n >>= 7;
        }
        self.0.push(n as u8);
    }

    /// A field's number and how what follows is written: 0 is a varint, 1 eight bytes, 2 bytes of
    /// a given length, 5 four bytes.
    fn tag(&mut self, field: u32, wire: u32) {
        self.varint(u64::from(field << 3 | wire));
    }

    /// With a whole number, a truth value or an enum.
    pub fn int(mut self, field: u32, n: i64) -> Message {
        self.tag(field, 0);
        // Negative numbers are written as 64 bits, whatever their type.
        self.varint(n as u64);
        self
    }

    /// With a number in single precision.
    pub fn float(mut self, field: u32, x: f32) -> Message {
        self.tag(field, 5);
        self.0.extend(x.to_le_bytes());
        self
    }

    /// With a number in double precision.
    pub fn double(mut self, field: u32, x: f64) -> Message {
        self.tag(field, 1);
        self.0.extend(x.to_le_bytes());
        self
    }

    /// With text or bytes.
    pub fn bytes(mut self, field: u32, content: impl AsRef<[u8]>) -> Message {
        self.tag(field, 2);
        self.varint(content.as_ref().len() as u64);
        self.0.extend(content.as_ref());
        self
    }

    /// With a message.
    pub fn message(self, field: u32, content: &Message) -> Message {
        self.bytes(field, &content.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(Message::default().int(1, 150).0, [0x08, 0x96, 0x01]);
        let text = Message::default().bytes(2, "testing");
        assert_eq!(text.0, b"\x12\x07testing");
        let inner = Message::default().int(1, 150);
        let outer = Message::default().message(3, &inner);
        assert_eq!(outer.0, [0x1a, 0x03, 0x08, 0x96, 0x01]);
        let minus_two = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Message::default().int(1, -2).0[1..], minus_two);
        // A field above 15 has a tag of two bytes.
        assert_eq!(Message::default().int(20, 1).0, [0xa0, 0x01, 0x01]);
    }
}
