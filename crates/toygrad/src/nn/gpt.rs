//! The language model.

use super::{
    Activation, Embedding, KvCache, Layer, LayerNorm, Linear, Module, TransformerEncoderLayer,
    eval, init,
};
use crate::{Error, Result, Value, evaluate, no_grad};

/// A transformer that predicts the next token (Radford et al. 2019): embeddings of tokens and
/// positions, causal blocks that normalise first, and a linear layer to the scores of all tokens.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::Gpt;
/// let model = Gpt::new(65, 16, 2, 4, 32);
/// let scores = model.forward(&Value::from([[1, 2, 3], [4, 5, 6]]));
/// assert_eq!(scores.shape()[..], [2, 3, 65]);
/// ```
#[derive(Module, Clone, Debug)]
pub struct Gpt {
    /// Of the tokens, normal with a standard deviation of 0.02 at first.
    pub tokens: Embedding,
    /// Of the positions, as many as the model sees; drawn as the tokens are.
    pub positions: Embedding,
    /// Causal, with GELU, without dropout.
    pub blocks: Vec<TransformerEncoderLayer>,
    /// Before the last layer.
    pub norm: LayerNorm,
    /// To the scores.
    pub output: Linear,
}

impl Gpt {
    /// For `vocabulary` tokens, of which it sees `context`; with so many layers, each of `heads`
    /// heads that divide the width, and a feed-forward network four times as wide.
    #[track_caller]
    pub fn new(
        vocabulary: usize,
        context: usize,
        layers: usize,
        heads: usize,
        width: usize,
    ) -> Gpt {
        let embedding =
            |count: usize| Embedding::from_weights(init::normal([count, width], 0.0, 0.02));
        let block = |_| {
            TransformerEncoderLayer::new(width, heads, width.saturating_mul(4))
                .norm_first(true)
                .causal(true)
                .activation(Activation::Gelu)
                .dropout(0.0)
        };
        Gpt {
            tokens: embedding(vocabulary),
            positions: embedding(context),
            blocks: (0..layers).map(block).collect(),
            norm: LayerNorm::new(width),
            output: Linear::new(width, vocabulary),
        }
    }

    /// How many tokens it sees.
    pub fn context(&self) -> usize {
        self.positions.weight.shape().first().copied().unwrap_or(0)
    }

    /// The scores of tokens `[n, t]` that come after those of the caches, one for each block;
    /// `[n, t, vocabulary]`. More than the context in all is a mistake.
    #[track_caller]
    pub fn forward_cached(&self, x: &Value, caches: &mut [KvCache]) -> Value {
        let seen = caches.first().map_or(0, KvCache::len);
        let mut caches = caches.iter_mut();
        self.through(x, seen, |block, h| match caches.next() {
            Some(cache) => block.cached(h, cache),
            None => init::mistake(format!("{} blocks want a cache each", self.blocks.len())),
        })
    }

    /// Tokens from the position `start` on, through the blocks.
    #[track_caller]
    fn through(
        &self,
        x: &Value,
        start: usize,
        mut block: impl FnMut(&TransformerEncoderLayer, &Value) -> Value,
    ) -> Value {
        let time = x.shape().last().copied().unwrap_or(0);
        let positions = Value::arange(start..start.saturating_add(time));
        let mut h = self.tokens.forward(x) + self.positions.forward(&positions);
        for layer in &self.blocks {
            h = block(layer, &h);
        }
        self.output.forward(&self.norm.forward(&h))
    }

    /// Goes on after the tokens of `prompt`, `length` times: `choose` is given the scores of all
    /// tokens and says which one is next. Gives the new tokens.
    ///
    /// Up to the context, each step computes its own token alone; keys and values of those before
    /// are kept. After that all positions move with each step, and nothing can be kept.
    ///
    /// ```
    /// use toygrad::nn::Gpt;
    /// let model = Gpt::new(10, 8, 1, 2, 8);
    /// let likeliest = |scores: &[f64]| {
    ///     (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0)
    /// };
    /// assert_eq!(model.generate(&[1, 2, 3], 20, likeliest)?.len(), 20);
    /// # Ok::<(), toygrad::Error>(())
    /// ```
    ///
    /// # Errors
    /// An empty prompt; tokens that are none of the vocabulary.
    #[track_caller]
    pub fn generate(
        &self,
        prompt: &[i64],
        length: usize,
        mut choose: impl FnMut(&[f64]) -> usize,
    ) -> Result<Vec<i64>> {
        let context = self.context();
        if prompt.is_empty() || context == 0 {
            return Err(Error::argument(format!(
                "{} tokens to go on from, and a context of {context}: both must be at least 1",
                prompt.len()
            )));
        }
        let mut tokens = prompt.to_vec();
        let mut caches = vec![KvCache::default(); self.blocks.len()];
        for _ in 0..length {
            let cached = caches.first().map_or(0, KvCache::len);
            let fits = tokens.len() <= context;
            let window = match fits {
                true => &tokens[cached..],
                false => &tokens[tokens.len() - context..],
            };
            let x = Value::from_slice(window, [1, window.len()]);
            let scores = eval(|| {
                no_grad(|| match fits {
                    true => self.forward_cached(&x, &mut caches),
                    false => self.forward(&x),
                })
            });
            let last = scores.narrow(1, window.len() - 1, 1).flatten();
            let kept = caches.iter().flat_map(KvCache::values).cloned();
            evaluate(&kept.chain([last.clone()]).collect::<Vec<_>>())?;
            tokens.push(choose(&last.to_vec::<f64>()?) as i64);
        }
        Ok(tokens.split_off(prompt.len()))
    }
}

impl Layer for Gpt {
    /// `[n, time]` of whole numbers to `[n, time, vocabulary]`, for no more time than the context.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        self.through(x, 0, |block, h| block.forward(h))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manual_seed;
    use crate::nn::MultiheadAttention;

    /// The likeliest token, then the second, the third, the fourth, the likeliest, and so on.
    fn in_turn() -> impl FnMut(&[f64]) -> usize {
        let mut turn = 0;
        move |scores| {
            let mut order: Vec<usize> = (0..scores.len()).collect();
            order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
            turn += 1;
            order[(turn - 1) % 4]
        }
    }

    /// Each token from the whole window, as without a cache.
    fn plain(model: &Gpt, prompt: &[i64], length: usize) -> Result<Vec<i64>> {
        let (mut tokens, mut choose) = (prompt.to_vec(), in_turn());
        for _ in 0..length {
            let seen = &tokens[tokens.len().saturating_sub(model.context())..];
            let scores = model.forward(&Value::from_slice(seen, [1, seen.len()]));
            let last = scores.narrow(1, seen.len() - 1, 1).flatten();
            tokens.push(choose(&last.to_vec::<f64>()?) as i64);
        }
        Ok(tokens.split_off(prompt.len()))
    }

    #[test]
    fn the_cache_changes_no_token() -> Result<()> {
        manual_seed(1);
        let model = Gpt::new(11, 12, 2, 2, 16);
        // Larger embeddings, so that scores depend on them.
        for table in [&model.tokens, &model.positions] {
            table.weight.set(table.weight.value() * 50.0)?;
        }
        // A prompt shorter than the context, as long, and longer; all go past it.
        for prompt in [1, 5, 12, 20] {
            let prompt: Vec<i64> = (0..prompt).map(|i| i * 7 % 11).collect();
            let tokens = model.generate(&prompt, 15, in_turn())?;
            assert_eq!(tokens, plain(&model, &prompt, 15)?);
        }
        Ok(())
    }

    #[test]
    fn what_cannot_be_gone_on_from_is_said() {
        let model = Gpt::new(5, 4, 1, 1, 4);
        let message = |prompt: &[i64]| match model.generate(prompt, 2, in_turn()) {
            Ok(_) => String::new(),
            Err(e) => e.to_string(),
        };
        assert!(message(&[]).contains("0 tokens to go on from"));
        assert!(message(&[5]).contains('5'), "{}", message(&[5]));
        let mut caches = vec![KvCache::default(); 1];
        let x = Value::from([[1, 2, 3]]);
        assert!(model.forward_cached(&x, &mut []).error().is_some());
        assert!(model.forward_cached(&x, &mut caches).evaluate().is_ok());
        assert!(model.forward_cached(&x, &mut caches).evaluate().is_err());
    }

    #[test]
    fn parts_attend_as_the_whole_does() -> Result<()> {
        let layer = MultiheadAttention::new(8, 4)
            .kv_heads(2)
            .rotary(100.0)
            .causal(true);
        let x = Value::randn([2, 6, 8]);
        let whole = layer.forward(&x).to_vec::<f32>()?;
        let mut cache = KvCache::default();
        let parts = [(0, 3), (3, 1), (4, 2)];
        let parts = parts.map(|(at, n)| layer.attend_cached(&x.narrow(1, at, n), &mut cache));
        let parts = Value::concat(parts, 1).to_vec::<f32>()?;
        for (a, b) in parts.iter().zip(whole) {
            assert!((a - b).abs() < 1e-6, "{a} {b}");
        }
        // Another batch does not fit, and leaves the cache as it was.
        let other = layer.attend_cached(&Value::ones([1, 1, 8]), &mut cache);
        assert!(other.error().is_some());
        assert_eq!(cache.len(), 6);
        Ok(())
    }
}
