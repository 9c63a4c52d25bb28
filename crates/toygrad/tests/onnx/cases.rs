//! What is exported: models, every row of the table, every kind of node.

use crate::common::{Rng, array};
use toygrad::nn::*;
use toygrad::prelude::*;
use toygrad::{Family, Onnx, ROWS, Row};

type Unary = fn(&Value) -> Value;
type Function = Box<dyn Fn(Vec<Value>) -> Vec<Value>>;

/// A function and arguments for it.
pub struct Case {
    pub name: String,
    pub state: Vec<(String, Parameter)>,
    pub function: Function,
    pub arguments: Vec<Value>,
    /// Whether it takes a batch of any extent.
    pub batch: bool,
}

impl Case {
    fn new(
        name: &str,
        arguments: &[Value],
        function: impl Fn(Vec<Value>) -> Vec<Value> + 'static,
    ) -> Case {
        Case {
            name: name.into(),
            state: Vec::new(),
            function: Box::new(function),
            arguments: arguments.to_vec(),
            batch: false,
        }
    }

    /// A model for batches of any extent.
    fn model(name: &str, model: impl Layer + 'static, x: &Value) -> Case {
        let mut case = Case {
            state: model.state_dict(),
            ..Case::one(name, x, move |x| model.forward(x))
        };
        case.batch = true;
        case
    }

    fn one(name: &str, x: &Value, f: impl Fn(&Value) -> Value + 'static) -> Case {
        Case::new(name, std::slice::from_ref(x), move |x| vec![f(&x[0])])
    }
}

fn randn<const N: usize>(shape: [usize; N]) -> Value {
    let x = Value::randn(shape);
    Value::from_vec(x.to_vec::<f32>().unwrap(), shape)
}

fn tokens(shape: [usize; 2], below: usize) -> Value {
    let mut rng = Rng(5);
    let all = (0..shape[0] * shape[1]).map(|_| rng.below(below) as i64);
    Value::from_vec(all.collect(), shape)
}

/// A transformer that predicts the next token.
#[derive(Module)]
struct Gpt {
    tokens: Embedding,
    positions: Embedding,
    blocks: Vec<TransformerEncoderLayer>,
    norm: LayerNorm,
    output: Linear,
}

impl Layer for Gpt {
    fn forward(&self, x: &Value) -> Value {
        let positions = self.positions.forward(&Value::arange(0..x.shape()[1]));
        let mut h = self.tokens.forward(x) + positions;
        for block in &self.blocks {
            h = block.forward(&h);
        }
        self.output.forward(&self.norm.forward(&h))
    }
}

/// A feed-forward, a convolutional and a transformer model.
pub fn models() -> Vec<Case> {
    toygrad::manual_seed(0);
    let mlp = Mlp::new(&[64, 256, 128, 10], Activation::Relu);
    let cnn = Sequential::new()
        .then(Conv2d::new(1, 16, 5).padding(2))
        .then(BatchNorm2d::new(16))
        .then(Activation::Relu)
        .then(MaxPool2d::new(2))
        .then(Conv2d::new(16, 32, 5).padding(2))
        .then(Activation::Relu)
        .then(MaxPool2d::new(2))
        .then(Flatten::default())
        .then(Linear::new(32 * 7 * 7, 128))
        .then(Activation::Relu)
        .then(Dropout::new(0.3))
        .then(Linear::new(128, 10));
    let block = |_| {
        TransformerEncoderLayer::new(64, 4, 256)
            .norm_first(true)
            .causal(true)
            .activation(Activation::Gelu)
    };
    let gpt = Gpt {
        tokens: Embedding::new(65, 64),
        positions: Embedding::new(32, 64),
        blocks: (0..2).map(block).collect(),
        norm: LayerNorm::new(64),
        output: Linear::new(64, 65),
    };
    vec![
        Case::model("feed-forward", mlp, &randn([5, 64])),
        Case::model("convolutional", cnn, &randn([5, 1, 28, 28])),
        Case::model("transformer", gpt, &tokens([5, 32], 65)),
    ]
}

/// Other layers.
pub fn layers() -> Vec<Case> {
    toygrad::manual_seed(1);
    let image = randn([3, 4, 11, 9]);
    let mut cases = vec![
        Case::model(
            "conv-wide",
            Conv2d::new(4, 6, 7).stride(2).padding(3),
            &image,
        ),
        Case::model(
            "conv-dilated",
            Conv2d::new(4, 6, [3, 2]).stride([1, 2]).dilation(2),
            &image,
        ),
        Case::model(
            "conv-groups",
            Conv2d::new(4, 8, 3).groups(2).padding([1, 0]),
            &image,
        ),
        Case::model(
            "conv-depthwise",
            Conv2d::new(4, 4, 3).groups(4).without_bias(),
            &image,
        ),
        Case::model("conv-pointwise", Conv2d::new(4, 5, 1), &image),
        Case::model(
            "conv-1d",
            Conv1d::new(4, 5, 3).padding(1),
            &randn([3, 4, 10]),
        ),
        Case::model("conv-3d", Conv3d::new(2, 3, 2), &randn([3, 2, 4, 5, 6])),
        Case::model("max-pool", MaxPool2d::new(3).stride(2).padding(1), &image),
        Case::model(
            "max-pool-wide",
            MaxPool2d::new([40, 3]).stride(1),
            &randn([2, 2, 45, 5]),
        ),
        Case::model("mean-pool", AvgPool2d::new([2, 3]), &image),
        Case::model("adaptive-mean-pool", AdaptiveAvgPool2d::new([4, 3]), &image),
        Case::model("adaptive-max-pool", AdaptiveMaxPool2d::new(3), &image),
        Case::model("group-norm", GroupNorm::new(2, 4), &image),
        Case::model(
            "attention",
            MultiheadAttention::new(16, 4)
                .kv_heads(2)
                .rotary(1e4)
                .causal(true),
            &randn([3, 6, 16]),
        ),
        Case::model("linear-3d", Linear::new(7, 5), &randn([3, 4, 7])),
    ];
    let up = ConvTranspose2d::new(4, 3, 3).stride(2).padding(1);
    let mut up = Case::model("conv-transpose", up, &image);
    up.batch = false;
    cases.push(up);
    let lstm = Lstm::new(5, 7);
    let state = lstm.state_dict();
    // Its first axis is time.
    let run = move |x: &Value| lstm.forward(&x.transpose(0, 1));
    cases.push(Case {
        state,
        batch: true,
        ..Case::one("lstm", &randn([3, 4, 5]), run)
    });
    for (name, f) in [
        ("softmax", (|x| x.softmax(-1)) as Unary),
        ("log-softmax", |x| x.log_softmax(-1)),
        ("gelu", |x| x.gelu()),
        ("elu", |x| x.elu(1.0)),
        ("norm", |x| x.norm_axis(1)),
        ("var", |x| x.var_axis(-1, 1)),
    ] {
        cases.push(Case {
            batch: true,
            ..Case::one(name, &randn([3, 4, 5]), f)
        });
    }
    cases
}

/// Whether it is exported at all.
pub fn expressible(row: &Row) -> bool {
    !matches!(row.onnx, Onnx::None)
}

/// Every row that can be, for each of its dtypes.
pub fn rows() -> Vec<Case> {
    let mut cases = Vec::new();
    for row in ROWS.iter().filter(|row| expressible(row)) {
        let dtypes: &[DType] = match row.family {
            Family::Float => &[DType::F32, DType::F64],
            Family::Numeric | Family::Compare => &[DType::F32, DType::F64, DType::I64, DType::U8],
            Family::Logic => &[DType::Bool],
            Family::Select => &[DType::F32, DType::F64, DType::I64, DType::U8, DType::Bool],
        };
        for &dtype in dtypes {
            let mut rng = Rng(3);
            let argument = |k: usize| {
                let range = match dtype {
                    DType::I64 => (-9.0, 9.0),
                    DType::U8 => (0.0, 255.0),
                    _ => row.domain[k],
                };
                let condition = row.family == Family::Select && k == 0;
                let dtype = if condition { DType::Bool } else { dtype };
                rng.array(&[4, 5], dtype, range)
            };
            let arguments: Vec<Value> = (0..row.arity()).map(argument).collect();
            let f = move |x: Vec<Value>| vec![row.apply(&x)];
            cases.push(Case::new(
                &format!("row-{}-{dtype}", row.name),
                &arguments,
                f,
            ));
        }
    }
    let special = [0.0, -0.0, 1e-7, -1e-7, 1e-20, 5.0, -5.0, 80.0, -80.0];
    let special = array(&special, &[9], DType::F32);
    for name in [
        "expm1", "log1p", "exp2", "softplus", "sigmoid", "sign", "rem", "atan2",
    ] {
        let Some(row) = ROWS.iter().find(|r| r.name == name) else {
            continue;
        };
        let f = move |x: &Value| match row.arity() {
            1 => row.apply(std::slice::from_ref(x)),
            // There, zeros have no sign.
            _ if row.name == "atan2" => {
                let x = x.slice(s![2..]);
                row.apply(&[x.unsqueeze(0), x.unsqueeze(1)])
            }
            _ => row.apply(&[x.unsqueeze(0), x.unsqueeze(1)]),
        };
        cases.push(Case::one(&format!("special-{name}"), &special, f));
    }
    cases
}

/// Every kind of node.
pub fn kinds() -> Vec<Case> {
    let x = &randn([3, 4, 5]);
    let whole = &Value::from_vec((0..60).map(|i| i * 7 % 11).collect::<Vec<i64>>(), [3, 4, 5]);
    let index = &Value::from_vec(vec![0i64, -1, 2, 1, 0, 3], [3, 2, 1]);
    let truth = &x.gt(0.0);
    let truth = &Value::from_vec(truth.to_vec::<bool>().unwrap(), [3, 4, 5]);
    let mut cases = Vec::new();
    let functions: &[(&str, Unary)] = &[
        ("sum", |x| x.sum()),
        ("sum-axes", |x| x.sum_axis([0, 2])),
        ("max", |x| x.max_axis(1)),
        ("min", |x| x.min_keepdim([0, 1])),
        ("argmax", |x| x.argmax(1)),
        ("argmin", |x| x.argmin(-1)),
        ("reshape", |x| x.reshape([2, -1])),
        ("permute", |x| x.permute([2, 0, 1])),
        ("expand", |x| x.unsqueeze(1).expand([3, 2, 4, 5])),
        ("slice", |x| x.slice(s![1.., 0..3, 2])),
        ("slice-steps", |x| {
            x.slice([
                toygrad::SliceItem::from(..),
                toygrad::SliceItem::from(..).step(-1),
                toygrad::SliceItem::from(1..).step(-2),
            ])
        }),
        ("slice-empty", |x| x.slice(s![.., 2..2])),
        ("flip", |x| x.flip([0, 2])),
        ("pad", |x| x.pad([(0, 1), (2, 0), (1, 1)])),
        ("roll", |x| x.roll(2, -1)),
        ("windows", |x| x.windows(1, 2, 1, 2)),
        ("windows-last", |x| x.windows(-1, 3, 2, 1)),
        ("cumsum", |x| x.cumsum(1)),
        ("argsort", |x| x.argsort(-1, false)),
        ("argsort-down", |x| x.argsort(1, true)),
        ("topk", |x| x.topk(2, -1).0),
        ("concat", |x| {
            Value::concat([x.clone(), x.neg(), x.narrow(1, 0, 2)], 1)
        }),
        ("repeat", |x| x.repeat([2, 1, 3])),
        ("one-hot", |x| x.argmax(-1).one_hot(5)),
        ("tril", |x| x.tril(0)),
        ("matmul-transposed", |x| x.matmul(x.t())),
        ("matmul-broadcast", |x| x.narrow(0, 0, 1).matmul(x.t())),
        ("matmul-left", |x| x.slice(s![0]).t().matmul(x.slice(s![1]))),
        ("einsum", |x| einsum("abc,adc->bd", [x, x])),
        ("cast-u8", |x| (x * 200.0).cast(DType::U8)),
        ("cast-i64", |x| (x * 3.0).cast(DType::I64)),
        ("cast-bool", |x| x.floor().cast(DType::Bool)),
        ("prod", |x| x.prod_axis(-1)),
    ];
    for &(name, f) in functions {
        cases.push(Case::one(&format!("kind-{name}"), x, f));
    }
    let of_whole: &[(&str, Unary)] = &[
        ("sum", |x| x.sum_axis(1)),
        ("max", |x| x.max_axis(-1)),
        ("argmax", |x| x.argmax(0)),
        ("cumsum", |x| x.cumsum(-1)),
        ("argsort", |x| x.argsort(-1, true)),
        ("argsort-up", |x| x.argsort(-1, false)),
        ("to-u8", |x| (x * 60 - 50).cast(DType::U8)),
        ("bytes", |x| {
            x.cast(DType::U8).neg() + x.cast(DType::U8) * 50
        }),
        ("rem-0", |x| x.rem(x.slice(s![0]))),
        ("pad", |x| x.pad([(1, 0), (0, 0), (0, 2)])),
    ];
    for &(name, f) in of_whole {
        cases.push(Case::one(&format!("whole-{name}"), whole, f));
    }
    let of_truth: &[(&str, Unary)] = &[
        ("any", |x| x.any_axis(1)),
        ("all", |x| x.all()),
        ("max", |x| x.max_axis(0)),
        ("argmax", |x| x.argmax(-1)),
        ("less", |x| x.lt(x.flip(0))),
        ("pad", |x| x.pad([(1, 0), (0, 0), (0, 2)])),
        ("select", |x| x.select(1.5, 2)),
        ("sum", |x| x.sum()),
        ("add", |x| x + x),
        ("expand", |x| x.unsqueeze(0).expand([2, 3, 4, 5])),
        ("slice", |x| x.slice(s![1])),
        ("concat", |x| Value::concat([x, x], 0)),
    ];
    for &(name, f) in of_truth {
        cases.push(Case::one(&format!("truth-{name}"), truth, f));
    }
    cases.push(Case::new("kind-gather", &[x.clone(), index.clone()], |x| {
        vec![x[0].gather(1, &x[1]), x[0].index_select(1, &x[1])]
    }));
    cases.push(Case::new("kind-matmul", &[x.clone(), randn([5, 2])], |x| {
        vec![
            x[0].matmul(&x[1]),
            x[0].slice(s![0]).matmul(&x[1]) + 1.0,
            x[0].clone(),
            x[0].clone(),
        ]
    }));
    // Gradients are graphs like others: adjoints of slices, windows, look-ups.
    let through: &[(&str, Unary)] = &[
        ("slice-steps", |x| {
            x.slice([
                toygrad::SliceItem::from(..),
                toygrad::SliceItem::from(..).step(-1),
                toygrad::SliceItem::from(0..4).step(2),
            ])
        }),
        ("windows", |x| x.windows(1, 3, 1, 1)),
        ("windows-last", |x| x.windows(-1, 2, 2, 1)),
        ("index", |x| x.index_select(1, [0, 2, 2])),
        ("cumsum", |x| x.cumsum(0)),
        ("max", |x| x.max_axis(1)),
        ("softmax", |x| x.softmax(-1)),
    ];
    for &(name, f) in through {
        let gradient = move |x: &Value| gradients(&(f(x).square() * 0.5).sum(), [x]).remove(0);
        cases.push(Case::one(&format!("gradient-{name}"), x, gradient));
    }
    cases
}
