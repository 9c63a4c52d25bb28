//! Transformer layers.

use super::{Activation, Dropout, KvCache, Layer, LayerNorm, Linear, Module, MultiheadAttention};
use crate::Value;

/// Self-attention and a feed-forward network, each with a short cut and layer normalisation, with
/// the names and defaults of PyTorch's `TransformerEncoderLayer`, batch first. With
/// [`causal`](TransformerEncoderLayer::causal) it is the block of a language model.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::TransformerEncoderLayer;
/// let block = TransformerEncoderLayer::new(16, 4, 64).norm_first(true).causal(true).dropout(0.0);
/// assert_eq!(block.forward(&Value::randn([2, 7, 16])).shape()[..], [2, 7, 16]);
/// ```
#[derive(Module, Clone, Debug)]
pub struct TransformerEncoderLayer {
    /// Attention of each position to the others.
    pub self_attn: MultiheadAttention,
    /// The first layer of the feed-forward network.
    pub linear1: Linear,
    /// Its second layer.
    pub linear2: Linear,
    /// Normalises for (or after) attention.
    pub norm1: LayerNorm,
    /// Normalises for (or after) the feed-forward network.
    pub norm2: LayerNorm,
    /// Between the layers of the feed-forward network.
    pub activation: Activation,
    dropout: f64,
    norm_first: bool,
}

impl TransformerEncoderLayer {
    /// Of features of this size, in heads that divide it, with a feed-forward network of `inner`
    /// features, ReLU, dropout 0.1, normalisation last.
    #[track_caller]
    pub fn new(size: usize, heads: usize, inner: usize) -> TransformerEncoderLayer {
        TransformerEncoderLayer {
            self_attn: MultiheadAttention::new(size, heads).dropout(0.1),
            linear1: Linear::new(size, inner),
            linear2: Linear::new(inner, size),
            norm1: LayerNorm::new(size),
            norm2: LayerNorm::new(size),
            activation: Activation::Relu,
            dropout: 0.1,
            norm_first: false,
        }
    }

    /// With normalisation before attention and feed-forward network, which trains deep stacks
    /// (Xiong et al. 2020).
    pub fn norm_first(self, norm_first: bool) -> Self {
        TransformerEncoderLayer { norm_first, ..self }
    }

    /// Positions do not see later ones.
    pub fn causal(mut self, causal: bool) -> Self {
        self.self_attn = self.self_attn.causal(causal);
        self
    }

    /// With another activation.
    pub fn activation(self, activation: Activation) -> Self {
        TransformerEncoderLayer { activation, ..self }
    }

    /// With another probability of dropout.
    pub fn dropout(mut self, p: f64) -> Self {
        self.self_attn = self.self_attn.dropout(p);
        TransformerEncoderLayer { dropout: p, ..self }
    }

    /// `[n, time, size] -> [n, time, size]`, with a mask that broadcasts to
    /// `[n, heads, time, time]`; see
    /// [`scaled_dot_product_attention`](super::scaled_dot_product_attention).
    #[track_caller]
    pub fn masked(&self, x: &Value, mask: Option<&Value>) -> Value {
        self.around(x, |x| self.self_attn.attend(x, x, x, mask))
    }

    /// Positions `[n, t, size]` that come after those of the cache; see
    /// [`MultiheadAttention::attend_cached`].
    #[track_caller]
    pub fn cached(&self, x: &Value, cache: &mut KvCache) -> Value {
        self.around(x, |x| self.self_attn.attend_cached(x, cache))
    }

    /// The layer around its attention.
    #[track_caller]
    fn around(&self, x: &Value, attend: impl FnOnce(&Value) -> Value) -> Value {
        let drop = Dropout::new(self.dropout);
        let attention = |x: &Value| drop.forward(&attend(x));
        let network = |x: &Value| {
            let inner = drop.forward(&self.activation.forward(&self.linear1.forward(x)));
            drop.forward(&self.linear2.forward(&inner))
        };
        match self.norm_first {
            true => {
                let x = x + attention(&self.norm1.forward(x));
                &x + network(&self.norm2.forward(&x))
            }
            false => {
                let x = self.norm1.forward(&(x + attention(x)));
                self.norm2.forward(&(&x + network(&x)))
            }
        }
    }
}

impl Layer for TransformerEncoderLayer {
    /// `[n, time, size] -> [n, time, size]`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        self.masked(x, None)
    }
}

/// Self-attention, attention to the outputs of an encoder, and a feed-forward network, with the
/// names and defaults of PyTorch's `TransformerDecoderLayer`, batch first.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::TransformerDecoderLayer;
/// let layer = TransformerDecoderLayer::new(16, 4, 64).causal(true);
/// let (x, memory) = (Value::randn([2, 5, 16]), Value::randn([2, 9, 16]));
/// assert_eq!(layer.decode(&x, &memory, None, None).shape()[..], [2, 5, 16]);
/// ```
#[derive(Module, Clone, Debug)]
pub struct TransformerDecoderLayer {
    /// Attention of each position to the others.
    pub self_attn: MultiheadAttention,
    /// Attention to the encoder's outputs.
    pub multihead_attn: MultiheadAttention,
    /// The first layer of the feed-forward network.
    pub linear1: Linear,
    /// Its second layer.
    pub linear2: Linear,
    /// Normalises for (or after) self-attention.
    pub norm1: LayerNorm,
    /// Normalises for (or after) attention to the encoder.
    pub norm2: LayerNorm,
    /// Normalises for (or after) the feed-forward network.
    pub norm3: LayerNorm,
    /// Between the layers of the feed-forward network.
    pub activation: Activation,
    dropout: f64,
    norm_first: bool,
}

impl TransformerDecoderLayer {
    /// Of features of this size, in heads that divide it, with a feed-forward network of `inner`
    /// features, ReLU, dropout 0.1, normalisation last.
    #[track_caller]
    pub fn new(size: usize, heads: usize, inner: usize) -> TransformerDecoderLayer {
        TransformerDecoderLayer {
            self_attn: MultiheadAttention::new(size, heads).dropout(0.1),
            multihead_attn: MultiheadAttention::new(size, heads).dropout(0.1),
            linear1: Linear::new(size, inner),
            linear2: Linear::new(inner, size),
            norm1: LayerNorm::new(size),
            norm2: LayerNorm::new(size),
            norm3: LayerNorm::new(size),
            activation: Activation::Relu,
            dropout: 0.1,
            norm_first: false,
        }
    }

    /// With normalisation before each part.
    pub fn norm_first(self, norm_first: bool) -> Self {
        TransformerDecoderLayer { norm_first, ..self }
    }

    /// Positions do not see later ones (of the decoder's own).
    pub fn causal(mut self, causal: bool) -> Self {
        self.self_attn = self.self_attn.causal(causal);
        self
    }

    /// With another activation.
    pub fn activation(self, activation: Activation) -> Self {
        TransformerDecoderLayer { activation, ..self }
    }

    /// With another probability of dropout.
    pub fn dropout(mut self, p: f64) -> Self {
        self.self_attn = self.self_attn.dropout(p);
        self.multihead_attn = self.multihead_attn.dropout(p);
        TransformerDecoderLayer { dropout: p, ..self }
    }

    /// `x` `[n, t, size]` and the encoder's outputs `[n, s, size]` to `[n, t, size]`, with masks
    /// that broadcast to `[n, heads, t, t]` and `[n, heads, t, s]`.
    #[track_caller]
    pub fn decode(
        &self,
        x: &Value,
        memory: &Value,
        mask: Option<&Value>,
        memory_mask: Option<&Value>,
    ) -> Value {
        let drop = Dropout::new(self.dropout);
        let own = |x: &Value| drop.forward(&self.self_attn.attend(x, x, x, mask));
        let cross =
            |x: &Value| drop.forward(&self.multihead_attn.attend(x, memory, memory, memory_mask));
        let network = |x: &Value| {
            let inner = drop.forward(&self.activation.forward(&self.linear1.forward(x)));
            drop.forward(&self.linear2.forward(&inner))
        };
        match self.norm_first {
            true => {
                let x = x + own(&self.norm1.forward(x));
                let x = &x + cross(&self.norm2.forward(&x));
                &x + network(&self.norm3.forward(&x))
            }
            false => {
                let x = self.norm1.forward(&(x + own(x)));
                let x = self.norm2.forward(&(&x + cross(&x)));
                self.norm3.forward(&(&x + network(&x)))
            }
        }
    }
}
