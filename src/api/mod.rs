//! The resources as users write them: types, rules, status, conditions, defaults.
//!
//! Other folders name a type as `api::X`. A part of the spec or of the status is named with its module, such as
//! `api::action::Script`.

pub mod action;
pub mod action_policy;
pub mod condition;
mod generate;
mod names;
pub mod packages;
pub mod parameters;
mod pod_template;
pub mod policy;
pub mod reason;
pub mod rules;
pub mod status;
pub mod template;
mod template_ref;
mod values;

pub use self::{
    action::{DeploymentAction, DeploymentActionSpec},
    action_policy::{ActionPolicy, ActionPolicySpec},
    condition::{ConditionType, Conditions},
    generate::{crd, reasons, reference, texts},
    names::*,
    reason::Reason,
    status::{DeploymentActionStatus, Phase, history},
    template::{ClusterDeploymentActionTemplate, DeploymentActionTemplate},
};
