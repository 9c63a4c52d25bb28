//! The macro that reads the table of pointwise operations.

/// Makes, from each row: a `static` [`Row`](crate::graph::row::Row), its vector loops, the public
/// method of `Value`, and its entry in [`ROWS`](super::pointwise::ROWS).
macro_rules! rows {
    ($(
        $(#[doc = $doc:literal])*
        $family:ident $name:ident($($x:ident),+) -> $y:ident {
            exact: $exact:expr,
            lanes: $lanes:expr,
            $(ends: $ends:ident,)?
            slope: $kind:ident $([$($slope:expr),+ $(,)?])?,
            domain: [$($domain:expr),+],
            onnx: $onnx:ident $($how:expr)?,
        }
    )*) => {
        $(
            pub(crate) mod $name {
                #![allow(unused_imports, unused_variables, clippy::redundant_closure_call)]
                use super::*;

                const ARITY: usize = [$(stringify!($x)),+].len();
                const DOMAIN: [(f64, f64); ARITY] = [$($domain),+];

                rows!(@formula $family, [$($x),+], $lanes $(, $ends)?);

                /// The row.
                pub(crate) static ROW: Row = Row {
                    name: stringify!($name),
                    doc: concat!($($doc, "\n"),*),
                    family: Family::$family,
                    exact: rows!(@exact [$($x),+], $exact),
                    slope: rows!(@slope $kind [$($x),+] $y $([$($slope),+])?),
                    lanes: rows!(@lanes $family),
                    domain: &DOMAIN,
                    onnx: rows!(@onnx $onnx [$($x),+] $($how)?),
                };
            }
        )*

        /// Every row of the table.
        pub static ROWS: &[&Row] = &[$(&$name::ROW),*];

        impl Value {
            $(rows!(@method [$($doc),*] $name [$($x),+]);)*
        }
    };

    // ---- numbers on their own ----
    (@exact [$a:ident], $exact:expr) => { |$a, _, _| $exact };
    (@exact [$a:ident, $b:ident], $exact:expr) => { |$a, $b, _| $exact };
    (@exact [$a:ident, $b:ident, $c:ident], $exact:expr) => { |$a, $b, $c| $exact };

    // ---- one lane, for the dtypes of the family ----
    (@formula Float, [$($x:ident),+], $lanes:expr $(, $ends:ident)?) => {
        struct Formula;
        impl<T: Float + Lane> lanes::Formula<T> for Formula {
            type Out = T;
            rows!(@eval T, [$($x),+], $lanes);
            $(
                const ENDS: bool = true;
                #[inline(always)]
                fn is_beyond(x: T) -> bool {
                    x.abs() > T::$ends
                }
                #[cold]
                fn exact(x: T) -> T {
                    T::of(ROW.exact(&[x.into()]))
                }
            )?
        }
    };
    (@formula Numeric, [$($x:ident),+], $lanes:expr) => {
        struct Formula;
        impl<T: Number> lanes::Formula<T> for Formula {
            type Out = T;
            rows!(@eval T, [$($x),+], $lanes);
        }
    };
    (@formula Compare, [$($x:ident),+], $lanes:expr) => {
        struct Formula;
        impl<T: Number> lanes::Formula<T> for Formula {
            type Out = u8;
            rows!(@eval T, [$($x),+], $lanes);
        }
    };
    (@formula Logic, [$($x:ident),+], $lanes:expr) => {
        struct Formula;
        impl lanes::Formula<u8> for Formula {
            type Out = u8;
            rows!(@eval u8, [$($x),+], $lanes);
        }
    };
    (@formula Select, [$($x:ident),+], $lanes:expr) => {};
    (@eval $t:ty, [$a:ident], $lanes:expr) => {
        const ARITY: usize = 1;
        #[inline(always)]
        fn eval<I: Isa>([$a, _, _]: [$t; 3]) -> Self::Out { $lanes }
    };
    (@eval $t:ty, [$a:ident, $b:ident], $lanes:expr) => {
        const ARITY: usize = 2;
        #[inline(always)]
        fn eval<I: Isa>([$a, $b, _]: [$t; 3]) -> Self::Out { $lanes }
    };

    // ---- the loop for a dtype ----
    (@lanes Float) => {
        |dtype, level| match dtype {
            DType::F32 => Some(lanes::formula::<Formula, f32>(level)),
            DType::F64 => Some(lanes::formula::<Formula, f64>(level)),
            _ => None,
        }
    };
    (@lanes Logic) => {
        |dtype, level| (dtype == DType::Bool).then(|| lanes::whole_formula::<Formula, u8>(level))
    };
    (@lanes Select) => {
        |dtype, level| Some(match dtype {
            DType::F32 => lanes::select::<f32>(level),
            DType::F64 => lanes::select::<f64>(level),
            DType::I64 => lanes::select::<i64>(level),
            DType::U8 | DType::Bool => lanes::select::<u8>(level),
        })
    };
    (@lanes $numeric:ident) => {
        |dtype, level| Some(match dtype {
            DType::F32 => lanes::formula::<Formula, f32>(level),
            DType::F64 => lanes::formula::<Formula, f64>(level),
            DType::I64 => lanes::whole_formula::<Formula, i64>(level),
            DType::U8 | DType::Bool => lanes::whole_formula::<Formula, u8>(level),
        })
    };

    // ---- the derivative: as many entries as arguments, or it does not compile ----
    (@slope zero [$($x:ident),+] $y:ident) => { Slope::Zero };
    (@slope constant [$($x:ident),+] $y:ident [$($d:expr),+]) => {{
        const D: [f64; ARITY] = [$($d),+];
        Slope::Constant(&D)
    }};
    (@slope partials $x:tt $y:ident [$($d:expr),+]) => {{
        const D: [Partial; ARITY] = [$(rows!(@partial $x $y $d)),+];
        Slope::Each(&D)
    }};
    (@slope route $x:tt $y:ident [$($d:expr),+]) => {{
        const D: [Partial; ARITY] = [$(rows!(@partial $x $y $d)),+];
        Slope::Route(&D)
    }};
    (@partial [$($x:ident),+] $y:ident $d:expr) => {
        |x, $y| if let [$($x),+] = x { $d } else { $y.clone() }
    };

    // ---- what it is in ONNX ----
    (@onnx operator $x:tt $name:literal) => { Onnx::Operator($name) };
    (@onnx rows [$($x:ident),+] $how:expr) => {
        Onnx::Rows(|x| if let [$($x),+] = x { $how } else { number(f64::NAN) })
    };
    (@onnx none $x:tt) => { Onnx::None };

    // ---- the public method ----
    (@method [$($doc:literal),*] $name:ident [$a:ident]) => {
        $(#[doc = $doc])*
        #[track_caller]
        pub fn $name(&self) -> Value {
            Value::map(&$name::ROW, smallvec![self.clone()], Location::caller())
        }
    };
    (@method [$($doc:literal),*] $name:ident [$a:ident, $b:ident]) => {
        $(#[doc = $doc])*
        ///
        /// Both are broadcast against each other.
        #[track_caller]
        pub fn $name(&self, $b: impl Into<Value>) -> Value {
            Value::map(&$name::ROW, smallvec![self.clone(), $b.into()], Location::caller())
        }
    };
    (@method [$($doc:literal),*] $name:ident [$c:ident, $a:ident, $b:ident]) => {
        $(#[doc = $doc])*
        ///
        /// All three are broadcast against each other.
        #[track_caller]
        pub fn $name(&self, $a: impl Into<Value>, $b: impl Into<Value>) -> Value {
            let inputs = smallvec![self.clone(), $a.into(), $b.into()];
            Value::map(&$name::ROW, inputs, Location::caller())
        }
    };
}
pub(crate) use rows;
