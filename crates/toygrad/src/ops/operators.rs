//! `+ - * / %`, negation, `& | ^ !`, and sums over iterators: any mix of owned, borrowed and
//! plain-number operands.

use super::pointwise as row;
use crate::Value;
use crate::graph::row::Row;
use smallvec::smallvec;
use std::iter::{Product, Sum};
use std::ops::*;
use std::panic::Location;

impl From<&Value> for Value {
    fn from(value: &Value) -> Value {
        value.clone()
    }
}

#[track_caller]
fn binary(row: &'static Row, a: Value, b: Value) -> Value {
    Value::map(row, smallvec![a, b], Location::caller())
}

#[track_caller]
fn unary(row: &'static Row, x: Value) -> Value {
    Value::map(row, smallvec![x], Location::caller())
}

#[track_caller]
pub(crate) fn neg(x: impl Into<Value>) -> Value {
    unary(&row::neg::ROW, x.into())
}

#[track_caller]
pub(crate) fn not(x: impl Into<Value>) -> Value {
    unary(&row::logical_not::ROW, x.into())
}

/// Operators with a Value-like type on the left and anything on the right.
macro_rules! operators {
    ($left:ty) => {
        $crate::ops::operators::operators!(@binary $left,
            Add add, Sub sub, Mul mul, Div div, Rem rem,
            BitAnd bitand, BitOr bitor, BitXor bitxor);
        impl std::ops::Neg for $left {
            type Output = $crate::Value;
            #[track_caller]
            fn neg(self) -> $crate::Value {
                $crate::ops::operators::neg(self)
            }
        }
        impl std::ops::Not for $left {
            type Output = $crate::Value;
            #[track_caller]
            fn not(self) -> $crate::Value {
                $crate::ops::operators::not(self)
            }
        }
    };
    (@binary $left:ty, $($trait:ident $method:ident),*) => {$(
        impl<R: Into<$crate::Value>> std::ops::$trait<R> for $left {
            type Output = $crate::Value;
            #[track_caller]
            fn $method(self, right: R) -> $crate::Value {
                $crate::ops::operators::$method(self, right)
            }
        }
    )*};
}
pub(crate) use operators;

/// Operators with a number on the left and a Value-like type on the right.
macro_rules! number_operators {
    ($right:ty: $($number:ty),*) => {$(
        $crate::ops::operators::number_operators!(@each $number, $right,
            Add add, Sub sub, Mul mul, Div div, Rem rem);
    )*};
    (@each $number:ty, $right:ty, $($trait:ident $method:ident),*) => {$(
        impl std::ops::$trait<$right> for $number {
            type Output = $crate::Value;
            #[track_caller]
            fn $method(self, right: $right) -> $crate::Value {
                $crate::ops::operators::$method(self, right)
            }
        }
    )*};
}
pub(crate) use number_operators;

macro_rules! functions {
    ($($name:ident = $row:ident),*) => {$(
        #[track_caller]
        pub(crate) fn $name(a: impl Into<Value>, b: impl Into<Value>) -> Value {
            binary(&row::$row::ROW, a.into(), b.into())
        }
    )*};
}
functions! {
    add = add, sub = sub, mul = mul, div = div, rem = rem,
    bitand = logical_and, bitor = logical_or, bitxor = logical_xor
}

operators!(Value);
operators!(&Value);
// One float and one whole type only: a literal such as the 1 of `(1.0 - &x).ln()` gets its type
// from here.
number_operators!(Value: f64, i64);
number_operators!(&Value: f64, i64);

macro_rules! assign {
    ($($trait:ident $method:ident $function:ident),*) => {$(
        impl<R: Into<Value>> $trait<R> for Value {
            #[track_caller]
            fn $method(&mut self, right: R) {
                *self = $function(&*self, right);
            }
        }
    )*};
}
assign!(AddAssign add_assign add, SubAssign sub_assign sub, MulAssign mul_assign mul, DivAssign div_assign div);

macro_rules! fold {
    ($($item:ty),*) => {$(
        impl<'a> Sum<$item> for Value {
            /// The sum; 0 of nothing.
            fn sum<I: Iterator<Item = $item>>(mut iter: I) -> Value {
                let first = iter.next().map_or_else(|| Value::from(0.0), Value::from);
                iter.fold(first, |total, v| add(total, v))
            }
        }
        impl<'a> Product<$item> for Value {
            /// The product; 1 of nothing.
            fn product<I: Iterator<Item = $item>>(mut iter: I) -> Value {
                let first = iter.next().map_or_else(|| Value::from(1.0), Value::from);
                iter.fold(first, |total, v| mul(total, v))
            }
        }
    )*};
}
fold!(Value, &'a Value);
