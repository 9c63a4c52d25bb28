//! Attention.

use super::{Dropout, Layer, Linear, Module, init};
use crate::{DType, Parameter, Shape, Value};

/// `softmax(Q Kᵀ / √d) V` (Vaswani et al. 2017), as
/// `torch.nn.functional.scaled_dot_product_attention`.
///
/// Queries `[.., t, d]`, keys `[.., s, d]` and values `[.., s, e]` give `[.., t, e]`. The mask
/// broadcasts to `[.., t, s]`: truth values say where attention is allowed, floats are added to
/// the scores. A query that may attend to nothing attends to everything equally.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::{causal_mask, scaled_dot_product_attention};
/// let x = Value::randn([2, 4, 5, 8]);
/// let y = scaled_dot_product_attention(&x, &x, &x, Some(&causal_mask(5, 5)));
/// assert_eq!(y.shape()[..], [2, 4, 5, 8]);
/// ```
#[track_caller]
pub fn scaled_dot_product_attention(
    query: &Value,
    key: &Value,
    value: &Value,
    mask: Option<&Value>,
) -> Value {
    attend(query, key, value, mask, 0.0)
}

/// The same, of queries that do not see later keys (the last query sees all), as with PyTorch's
/// `is_causal`. Costs half of what attention under a [`causal_mask`] costs where sequences are long:
/// queries are taken in blocks, each with the keys up to its last one. Under a mask besides, a query
/// that may attend to nothing attends to the keys of its block equally.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::{causal_attention, causal_mask, scaled_dot_product_attention};
/// let x = Value::randn([2, 300, 8]);
/// let blocks = causal_attention(&x, &x, &x, None).to_vec::<f32>()?;
/// let whole = scaled_dot_product_attention(&x, &x, &x, Some(&causal_mask(300, 300)));
/// assert!(blocks.iter().zip(whole.to_vec::<f32>()?).all(|(a, b)| (a - b).abs() < 1e-5));
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn causal_attention(query: &Value, key: &Value, value: &Value, mask: Option<&Value>) -> Value {
    attend_causally(query, key, value, mask, 0.0)
}

/// Queries of a block, at least; and blocks, at most: each is kernels of its own.
const BLOCK: usize = 64;
const BLOCKS: usize = 8;

#[track_caller]
fn attend_causally(
    query: &Value,
    key: &Value,
    value: &Value,
    mask: Option<&Value>,
    dropout: f64,
) -> Value {
    let given = [query, key, value].into_iter().chain(mask);
    if let Some(v) = given.clone().find(|v| v.error().is_some()) {
        return v.clone();
    }
    let (t, s) = (length(query, 2), length(key, 2));
    let fits = |m: &Value| [1, t].contains(&length(m, 2)) && [1, s].contains(&length(m, 1));
    let blocks = match t <= s && length(value, 2) == s && mask.is_none_or(fits) {
        true => (t / BLOCK).clamp(1, BLOCKS),
        // The first queries see nothing, or it is a mistake.
        false => 1,
    };
    let causal = causal_mask(t, s);
    let mask = match mask {
        None => causal,
        Some(mask) if mask.dtype() == DType::Bool => mask & causal,
        Some(mask) => causal.select(mask, FORBIDDEN),
    };
    if blocks == 1 {
        return attend(query, key, value, Some(&mask), dropout);
    }
    let block = |i: usize| {
        let (from, to) = (i * t / blocks, (i + 1) * t / blocks);
        // None of these queries sees more.
        let keys = s - (t - to);
        let first = |v: &Value, axis: isize| v.narrow(axis, 0, keys);
        let some = |v: &Value| v.narrow(-2, from, to - from);
        let mask = first(&some(&mask), -1);
        let (key, value) = (first(key, -2), first(value, -2));
        attend(&some(query), &key, &value, Some(&mask), dropout)
    };
    Value::concat((0..blocks).map(block), -2)
}

/// How long an axis is, counted from the last, which is 1; axes that are not there are broadcast.
fn length(v: &Value, axis: usize) -> usize {
    v.rank().checked_sub(axis).map_or(1, |a| v.shape()[a])
}

#[track_caller]
fn attend(query: &Value, key: &Value, value: &Value, mask: Option<&Value>, dropout: f64) -> Value {
    if let Some(v) = [query, key, value]
        .into_iter()
        .find(|v| v.error().is_some())
    {
        return v.clone();
    }
    let size = query.shape().last().copied().unwrap_or(1).max(1) as f64;
    let scores = (query * size.sqrt().recip()).matmul(key.t());
    let scores = match mask {
        None => scores,
        Some(mask) if mask.dtype() == DType::Bool => mask.select(scores, FORBIDDEN),
        Some(mask) => scores + mask,
    };
    let weights = scores.softmax(-1);
    let weights = match dropout > 0.0 {
        true => Dropout::new(dropout).forward(&weights),
        false => weights,
    };
    weights.matmul(value)
}

/// A score so small that its exponential is 0, but finite, so that a row of nothing else is no NaN.
const FORBIDDEN: f64 = -1e30;

/// Where a query may attend if it must not see later keys: `[queries, keys]`, true on and below
/// the diagonal that ends in the last corner.
#[track_caller]
pub fn causal_mask(queries: usize, keys: usize) -> Value {
    let ahead = keys as i64 - queries as i64;
    Value::arange(0..keys).le((Value::arange(0..queries) + ahead).unsqueeze(1))
}

/// Where keys are not padding: sequences of these lengths (`[n]`, whole numbers) give
/// `[n, 1, 1, keys]`, a mask for all heads and queries.
#[track_caller]
pub fn padding_mask(lengths: &Value, keys: usize) -> Value {
    let mask = Value::arange(0..keys).lt(lengths.unsqueeze(-1));
    mask.unsqueeze(1).unsqueeze(1)
}

/// Rotary position embedding (Su et al. 2021) in the form of Llama: the pair of features `i` and
/// `i + d/2` is turned by the angle `position · base^(-2i/d)`. `[.., t, d]`, positions from
/// `offset` on; the same comes out.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::rotary;
/// let x = Value::from([[1.0, 0.0], [1.0, 0.0]]);
/// let y = rotary(&x, 10000.0, 0).to_vec::<f64>()?;
/// assert!((y[2] - 1f64.cos()).abs() < 1e-6 && (y[3] - 1f64.sin()).abs() < 1e-6);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[track_caller]
pub fn rotary(x: &Value, base: f64, offset: usize) -> Value {
    if x.error().is_some() {
        return x.clone();
    }
    let [.., time, size] = x.shape()[..] else {
        return init::mistake(format!(
            "`rotary` takes [.., time, features], not {}",
            x.shape()
        ));
    };
    if !size.is_multiple_of(2) || size == 0 {
        return init::mistake(format!("`rotary` turns pairs of features, not {size}"));
    }
    let half = size / 2;
    let speeds: Value = (0..half)
        .map(|i| base.powf(-2.0 * i as f64 / size as f64))
        .collect();
    let positions = Value::arange(offset..offset.saturating_add(time)).cast(DType::F64);
    let angles = positions.unsqueeze(1) * speeds;
    let (cos, sin) = (angles.cos().cast(x.dtype()), angles.sin().cast(x.dtype()));
    let (a, b) = (x.narrow(-1, 0, half), x.narrow(-1, half, half));
    Value::concat([&a * &cos - &b * &sin, &b * &cos + &a * &sin], -1)
}

/// Attention of several heads, batch first, with PyTorch's names and layout.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::MultiheadAttention;
/// let layer = MultiheadAttention::new(32, 4).causal(true);
/// assert_eq!(layer.forward(&Value::randn([2, 7, 32])).shape()[..], [2, 7, 32]);
/// assert_eq!(layer.named_parameters()[0].0, "in_proj_weight");
/// // Four heads of queries share one of keys and values; positions by rotation.
/// let layer = MultiheadAttention::new(32, 4).kv_heads(1).rotary(10000.0);
/// assert_eq!(layer.in_proj_weight.shape()[..], [32 + 8 + 8, 32]);
/// ```
#[derive(Module, Clone, Debug)]
pub struct MultiheadAttention {
    /// `[size + 2 · kv_heads · size / heads, size]`: the projections to queries, keys and values,
    /// one after another.
    pub in_proj_weight: Parameter,
    /// Zeros at first.
    pub in_proj_bias: Option<Parameter>,
    /// The projection of the heads' results.
    pub out_proj: Linear,
    size: usize,
    heads: usize,
    kv_heads: usize,
    causal: bool,
    rotary: Option<f64>,
    dropout: f64,
}

impl MultiheadAttention {
    /// Of features of this size, in heads that divide it.
    #[track_caller]
    pub fn new(size: usize, heads: usize) -> MultiheadAttention {
        let out_proj = Linear::from_weights(
            init::torch_default([size, size], size),
            Some(init::constant([size], 0.0)),
        );
        let (in_proj_weight, in_proj_bias) = projections(size, heads, heads);
        MultiheadAttention {
            in_proj_weight,
            in_proj_bias: Some(in_proj_bias),
            out_proj,
            size,
            heads,
            kv_heads: heads,
            causal: false,
            rotary: None,
            dropout: 0.0,
        }
    }

    /// With fewer heads of keys and values, each shared by a group of query heads (Ainslie et al.
    /// 2023); draws new weights.
    #[track_caller]
    pub fn kv_heads(mut self, kv_heads: usize) -> MultiheadAttention {
        let (weight, bias) = projections(self.size, self.heads, kv_heads);
        self.in_proj_weight = weight;
        self.in_proj_bias = self.in_proj_bias.map(|_| bias);
        MultiheadAttention { kv_heads, ..self }
    }

    /// Queries do not see later keys.
    pub fn causal(self, causal: bool) -> MultiheadAttention {
        MultiheadAttention { causal, ..self }
    }

    /// Queries and keys are turned by their positions; see [`rotary`].
    pub fn rotary(self, base: f64) -> MultiheadAttention {
        MultiheadAttention {
            rotary: Some(base),
            ..self
        }
    }

    /// With dropout of the attention's weights.
    pub fn dropout(self, p: f64) -> MultiheadAttention {
        MultiheadAttention { dropout: p, ..self }
    }

    /// The same without biases.
    pub fn without_bias(self) -> MultiheadAttention {
        let out_proj = self.out_proj.without_bias();
        MultiheadAttention {
            in_proj_bias: None,
            out_proj,
            ..self
        }
    }

    /// Attention of `[n, t, size]` to keys and values `[n, s, size]`; gives `[n, t, size]`. The
    /// mask broadcasts to `[n, heads, t, s]`, as in [`scaled_dot_product_attention`].
    #[track_caller]
    pub fn attend(&self, query: &Value, key: &Value, value: &Value, mask: Option<&Value>) -> Value {
        match self.attended(query, key, value, mask, None) {
            Ok(y) | Err(y) => y,
        }
    }

    /// Self-attention of positions `[n, t, size]` that come after those of the cache, to these and
    /// to themselves; the cache then has them too. With [`causal`](MultiheadAttention::causal), the
    /// parts of a sequence one after another give what the whole gives.
    #[track_caller]
    pub fn attend_cached(&self, x: &Value, cache: &mut KvCache) -> Value {
        match self.attended(x, x, x, None, Some(cache)) {
            Ok(y) | Err(y) => y,
        }
    }

    #[track_caller]
    fn attended(
        &self,
        query: &Value,
        key: &Value,
        value: &Value,
        mask: Option<&Value>,
        cache: Option<&mut KvCache>,
    ) -> Result<Value, Value> {
        for v in [query, key, value, &self.in_proj_weight.value()] {
            if v.error().is_some() {
                return Err(v.clone());
            }
        }
        let fits = |v: &Value| v.rank() == 3 && v.shape()[2] == self.size;
        if ![query, key, value].into_iter().all(fits) || key.shape() != value.shape() {
            return Err(init::mistake(format!(
                "attention of {} features takes [n, time, {}], keys like values, not query {}, key \
                 {}, value {}",
                self.size,
                self.size,
                query.shape(),
                key.shape(),
                value.shape()
            )));
        }
        let head = self.size / self.heads.max(1);
        let lengths = [self.size, self.kv_heads * head, self.kv_heads * head];
        let weights = self.in_proj_weight.value().split(lengths, 0);
        let biases = self
            .in_proj_bias
            .as_ref()
            .map(|b| b.value().split(lengths, 0));
        let project = |x: &Value, part: usize, heads: usize| {
            let mut y = x.matmul(weights[part].t());
            if let Some(biases) = &biases {
                y += &biases[part];
            }
            let (n, time) = (x.shape()[0], x.shape()[1]);
            y.reshape(Shape::from([n, time, heads, head]))
                .transpose(1, 2)
        };
        let mut q = project(query, 0, self.heads);
        let mut k = project(key, 1, self.kv_heads);
        let mut v = project(value, 2, self.kv_heads);
        if let Some(base) = self.rotary {
            let offset = cache.as_ref().map_or(0, |c| c.len());
            q = rotary(&q, base, offset);
            k = rotary(&k, base, offset);
        }
        if let Some(cache) = cache {
            (k, v) = cache.extended(k, v)?;
        }
        if self.kv_heads != self.heads {
            let shared = |x: &Value| {
                let [n, heads, time, head] = x.shape()[..] else {
                    return x.clone();
                };
                let group = self.heads / heads.max(1);
                let wide = x.unsqueeze(2).expand([n, heads, group, time, head]);
                wide.reshape(Shape::from([n, heads * group, time, head]))
            };
            (k, v) = (shared(&k), shared(&v));
        }
        let y = match self.causal {
            true => attend_causally(&q, &k, &v, mask, self.dropout),
            false => attend(&q, &k, &v, mask, self.dropout),
        };
        let y = y.transpose(1, 2).reshape(query.shape());
        Ok(self.out_proj.forward(&y))
    }
}

/// The keys and values of positions that causal attention has seen, so that those after them are
/// computed alone: what makes it cheap to generate text. See
/// [`MultiheadAttention::attend_cached`]; [`Gpt::generate`](super::Gpt::generate) uses it.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::nn::{KvCache, MultiheadAttention};
/// let layer = MultiheadAttention::new(8, 2).causal(true);
/// let x = Value::randn([1, 3, 8]);
/// let mut cache = KvCache::default();
/// let first = layer.attend_cached(&x.narrow(1, 0, 2), &mut cache);
/// let last = layer.attend_cached(&x.narrow(1, 2, 1), &mut cache);
/// let parts = Value::concat([first, last], 1).to_vec::<f32>()?;
/// let whole = layer.forward(&x).to_vec::<f32>()?;
/// assert!(parts.iter().zip(whole).all(|(a, b)| (a - b).abs() < 1e-6));
/// assert_eq!(cache.len(), 3);
/// # Ok::<(), toygrad::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct KvCache(Option<[Value; 2]>);

impl KvCache {
    /// How many positions it has seen.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |[keys, _]| keys.shape()[2])
    }

    /// Whether it has seen none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keys and values of all positions, `[n, heads, time, features]` each; none at first. They
    /// are worth computing (with [`evaluate`](crate::evaluate)) along with what attention gives,
    /// so that the next positions begin from numbers.
    pub fn values(&self) -> &[Value] {
        self.0.as_ref().map_or(&[], |pair| &pair[..])
    }

    /// With these keys and values at the end; gives all, or the mistake of other shapes.
    #[track_caller]
    fn extended(&mut self, keys: Value, values: Value) -> Result<(Value, Value), Value> {
        let [keys, values] = match &self.0 {
            None => [keys, values],
            Some([k, v]) => [Value::concat([k, &keys], 2), Value::concat([v, &values], 2)],
        };
        if let Some(mistake) = [&keys, &values].into_iter().find(|v| v.error().is_some()) {
            return Err(mistake.clone());
        }
        self.0 = Some([keys.clone(), values.clone()]);
        Ok((keys, values))
    }
}

/// The weight and bias of the projections to queries, keys and values, or the mistake in both.
#[track_caller]
fn projections(size: usize, heads: usize, kv_heads: usize) -> (Parameter, Parameter) {
    let divides = heads > 0 && kv_heads > 0 && size.is_multiple_of(heads);
    if !divides || !heads.is_multiple_of(kv_heads) {
        let mistake = init::mistake(format!(
            "attention of {size} features in {heads} heads, {kv_heads} of keys: heads must divide \
             the features, and heads of keys divide them"
        ));
        return (Parameter::new(mistake.clone()), Parameter::new(mistake));
    }
    let rows = size.saturating_add((size / heads).saturating_mul(kv_heads).saturating_mul(2));
    let weight = init::xavier_uniform([rows, size], 1.0);
    (
        Parameter::new(weight),
        Parameter::new(init::constant([rows], 0.0)),
    )
}

impl Layer for MultiheadAttention {
    /// Self-attention: `[n, time, size] -> [n, time, size]`.
    #[track_caller]
    fn forward(&self, x: &Value) -> Value {
        self.attend(x, x, x, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gradients;

    /// Blocks of queries give what the whole gives, with its gradients: whatever the lengths, whichever
    /// the mask.
    #[test]
    fn blocks_of_causal_attention_are_the_whole() -> crate::Result<()> {
        for (t, s) in [(150, 150), (131, 200), (200, 131), (1, 7), (640, 640)] {
            let draw = |n: usize| Value::randn([2, 3, n, 4]).cast(DType::F64);
            let inputs = [draw(t), draw(s), draw(s)];
            let [query, key, value] = &inputs;
            let causal = causal_mask(t, s);
            let lengths = Value::from([s as i64, s as i64 / 2]);
            let padding = padding_mask(&lengths, s);
            let added = Value::randn([t, s]).cast(DType::F64);
            let masks = [
                (None, causal.clone()),
                (Some(&padding), &causal & &padding),
                (Some(&added), causal.select(&added, FORBIDDEN)),
            ];
            for (mask, whole) in masks {
                let blocks = causal_attention(query, key, value, mask);
                let whole = scaled_dot_product_attention(query, key, value, Some(&whole));
                assert_eq!(blocks.shape(), whole.shape());
                let all = |y: Value| -> crate::Result<Vec<f64>> {
                    let mut all = gradients(&y.square().mean(), &inputs);
                    all.push(y);
                    crate::evaluate(&all)?;
                    Ok(all
                        .iter()
                        .map(Value::to_vec::<f64>)
                        .collect::<Result<Vec<_>, _>>()?
                        .concat())
                };
                for (a, b) in all(blocks)?.into_iter().zip(all(whole)?) {
                    assert!((a - b).abs() < 1e-12 * (1.0 + b.abs()), "{t} {s}: {a} {b}");
                }
            }
        }
        Ok(())
    }

    #[test]
    fn mistakes_of_causal_attention_are_those_of_the_whole() {
        let x = |t: usize| Value::randn([2, t, 4]);
        let fails = |y: Value| y.error().map(ToString::to_string).expect("a mistake");
        // Keys unlike values, features unlike features, a mask of other lengths, no time.
        let y = fails(causal_attention(&x(200), &x(200), &x(100), None));
        assert!(y.contains("200") && y.contains("100"), "{y}");
        fails(causal_attention(
            &x(200),
            &Value::randn([2, 200, 5]),
            &x(200),
            None,
        ));
        let mask = causal_mask(64, 200);
        fails(causal_attention(&x(200), &x(200), &x(200), Some(&mask)));
        fails(causal_attention(
            &Value::from([1.0, 2.0]),
            &x(3),
            &x(3),
            None,
        ));
    }
}
