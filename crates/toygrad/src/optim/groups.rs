//! Groups of parameters, each with an optimiser of its own.

use super::Optimizer;
use super::common::Common;
use crate::nn::{Module, path};
use crate::{Error, Parameter, Result, Value};
use std::collections::HashSet;

/// Several optimisers that step together, each with its own parameters, rule, options and learning
/// rate: what PyTorch calls parameter groups.
///
/// Options of the whole, such as [`clip_grad_norm`](Optimizer::clip_grad_norm), see the gradients
/// of all groups; schedules scale the learning rate of each.
///
/// ```
/// use toygrad::prelude::*;
/// use toygrad::optim::{Groups, Muon};
/// let model = Mlp::new(&[2, 8, 8, 1], Activation::Tanh);
/// let optimizer = Groups::new()
///     .with(Muon::new(&model.select(|_, p| p.shape().rank() == 2), 0.02))
///     .with(AdamW::new(&model.select(|_, p| p.shape().rank() != 2), 1e-3).weight_decay(0.0))
///     .clip_grad_norm(1.0);
/// let loss = model.forward(&Value::ones([4, 2])).square().mean();
/// optimizer.minimize(&loss).item()?;
/// # Ok::<(), toygrad::Error>(())
/// ```
pub struct Groups {
    common: Common,
    members: Vec<Box<dyn Optimizer + Send + Sync>>,
}

impl Default for Groups {
    fn default() -> Self {
        Groups::new()
    }
}

impl Groups {
    /// No groups yet.
    #[track_caller]
    pub fn new() -> Groups {
        let mut common = Common::new(&(), 0.0);
        // Each member says whether its parameters may be without gradient.
        common.allow_unused = true;
        Groups {
            common,
            members: Vec::new(),
        }
    }

    /// With one more group. A parameter in two groups is a mistake that steps report.
    #[track_caller]
    pub fn with(mut self, member: impl Optimizer + Send + Sync + 'static) -> Groups {
        let known: HashSet<u64> = self.common.parameters.iter().map(|(_, p)| p.id()).collect();
        let new = member.common().parameters.iter();
        if let Some((_, p)) = new.clone().find(|(_, p)| known.contains(&p.id())) {
            self.common
                .fail(Error::argument(format!("{} is in two groups", p.name())));
        }
        self.common.parameters.extend(new.cloned());
        self.members.push(Box::new(member));
        self
    }

    /// The groups in order.
    pub fn members(&self) -> &[Box<dyn Optimizer + Send + Sync>] {
        &self.members
    }
}

impl Module for Groups {
    fn visit(&self, prefix: &str, visitor: &mut dyn FnMut(&str, &Parameter)) {
        for (i, member) in self.members.iter().enumerate() {
            member.visit(&path(prefix, &i.to_string()), visitor);
        }
    }

    fn zero_grad(&self) {
        self.common.zero_grad();
    }
}

impl Optimizer for Groups {
    super::has_common!();

    fn learning_rates(&self) -> Vec<Parameter> {
        self.members
            .iter()
            .flat_map(|m| m.learning_rates())
            .collect()
    }

    fn allow_unused(mut self, yes: bool) -> Self {
        for member in &mut self.members {
            member.common_mut().allow_unused = yes;
        }
        self
    }

    fn rule(&self, gradients: &[Option<Value>]) -> Result<Vec<(Parameter, Value)>> {
        let (mut updates, mut rest) = (Vec::new(), gradients);
        for member in &self.members {
            let count = member.common().parameters.len();
            let (own, others) = rest.split_at_checked(count).unwrap_or((rest, &[]));
            updates.extend(member.rule(&member.common().prepare(own)?)?);
            rest = others;
        }
        Ok(updates)
    }
}
