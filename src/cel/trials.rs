//! Functions of protovalidate: each says yes or no to one value, so that it is written here as what that
//! value is in: `this.isEmail()` becomes `this in` a value that is the trial.

use std::{collections::HashSet, fmt};

use cel::{
    ExecutionError,
    common::{
        ast::{Expr, IdedExpr, LiteralValue},
        traits::Container,
        types::{
            CelBool, CelBytes, CelDouble, CelInt, CelList, CelString, CelUInt, MAP_TYPE, Type,
        },
        value::Val,
    },
};
use prost_protovalidate::validators as formats;

use super::values::Budget;

static MAP: Type = MAP_TYPE;
/// So many bytes of a text count as one step: formats are read once, by byte.
const STEP_BYTES: usize = 8;

pub(super) const NAMES: [&str; 10] = [
    "isNan",
    "isInf",
    "isEmail",
    "isHostname",
    "isHostAndPort",
    "isIp",
    "isIpPrefix",
    "isUri",
    "isUriRef",
    "unique",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trial {
    Nan,
    /// Of any sign where it is 0.
    Inf {
        sign: i64,
    },
    Email,
    Hostname,
    HostAndPort {
        port_required: bool,
    },
    /// Of any version where it is 0.
    Ip {
        version: i64,
    },
    IpPrefix {
        version: i64,
        strict: bool,
    },
    Uri,
    UriRef,
    Unique,
}

impl Trial {
    /// None where it is not called so: what it is told is written out.
    pub(super) fn of(name: &str, arguments: &[IdedExpr]) -> Option<Trial> {
        Some(match (name, arguments) {
            ("isNan", []) => Trial::Nan,
            ("isInf", []) => Trial::Inf { sign: 0 },
            ("isInf", [sign]) => Trial::Inf { sign: int(sign)? },
            ("isEmail", []) => Trial::Email,
            ("isHostname", []) => Trial::Hostname,
            ("isHostAndPort", [port]) => Trial::HostAndPort { port_required: bool(port)? },
            ("isIp", []) => Trial::Ip { version: 0 },
            ("isIp", [version]) => Trial::Ip { version: int(version)? },
            ("isIpPrefix", []) => Trial::IpPrefix { version: 0, strict: false },
            ("isIpPrefix", [one]) => match bool(one) {
                Some(strict) => Trial::IpPrefix { version: 0, strict },
                None => Trial::IpPrefix { version: int(one)?, strict: false },
            },
            ("isIpPrefix", [version, strict]) => {
                Trial::IpPrefix { version: int(version)?, strict: bool(strict)? }
            }
            ("isUri", []) => Trial::Uri,
            ("isUriRef", []) => Trial::UriRef,
            ("unique", []) => Trial::Unique,
            _ => return None,
        })
    }

    fn text(self, text: &str) -> Option<bool> {
        Some(match self {
            Trial::Email => formats::is_email(text),
            Trial::Hostname => formats::is_hostname(text),
            Trial::HostAndPort { port_required } => formats::is_host_and_port(text, port_required),
            Trial::Ip { version: 0 } => formats::is_ip(text),
            Trial::Ip { version: 4 } => formats::is_ipv4(text),
            Trial::Ip { version: 6 } => formats::is_ipv6(text),
            Trial::Ip { .. } => false,
            Trial::IpPrefix { version: 0, strict } => formats::is_ip_prefix(text, strict),
            Trial::IpPrefix { version: 4, strict } => formats::is_ipv4_prefix(text, strict),
            Trial::IpPrefix { version: 6, strict } => formats::is_ipv6_prefix(text, strict),
            Trial::IpPrefix { .. } => false,
            Trial::Uri => formats::is_uri(text),
            Trial::UriRef => formats::is_uri_ref(text),
            Trial::Nan | Trial::Inf { .. } | Trial::Unique => return None,
        })
    }

    fn number(self, number: f64) -> Option<bool> {
        match self {
            Trial::Nan => Some(number.is_nan()),
            Trial::Inf { sign } => {
                let is_meant = sign == 0 || (sign > 0) == (number > 0.0);
                Some(number.is_infinite() && is_meant)
            }
            Trial::Email
            | Trial::Hostname
            | Trial::HostAndPort { .. }
            | Trial::Ip { .. }
            | Trial::IpPrefix { .. }
            | Trial::Uri
            | Trial::UriRef
            | Trial::Unique => None,
        }
    }
}

fn int(argument: &IdedExpr) -> Option<i64> {
    let Expr::Literal(LiteralValue::Int(value)) = &argument.expr else { return None };
    Some(*value.inner())
}

fn bool(argument: &IdedExpr) -> Option<bool> {
    let Expr::Literal(LiteralValue::Boolean(value)) = &argument.expr else { return None };
    Some(*value.inner())
}

/// Whether no two of them are equal. None where they are no scalars.
fn are_unique(elements: &[Box<dyn Val + '_>]) -> Option<bool> {
    #[derive(PartialEq, Eq, Hash)]
    enum Element<'a> {
        Bool(bool),
        Integer(i128),
        Double(u64),
        Text(&'a str),
        Bytes(&'a [u8]),
    }
    let mut seen = HashSet::with_capacity(elements.len());
    for element in elements {
        let element = if let Some(text) = element.downcast_ref::<CelString<'_>>() {
            Element::Text(text.inner())
        } else if let Some(number) = element.downcast_ref::<CelInt>() {
            Element::Integer((*number.inner()).into())
        } else if let Some(number) = element.downcast_ref::<CelUInt>() {
            Element::Integer((*number.inner()).into())
        } else if let Some(number) = element.downcast_ref::<CelDouble>() {
            match *number.inner() {
                number if number.is_nan() => continue,
                // Zero has two signs.
                number => Element::Double((number + 0.0).to_bits()),
            }
        } else if let Some(bytes) = element.downcast_ref::<CelBytes<'_>>() {
            Element::Bytes(bytes.inner())
        } else {
            Element::Bool(*element.downcast_ref::<CelBool>()?.inner())
        };
        if !seen.insert(element) {
            return Some(false);
        }
    }
    Some(true)
}

pub(super) struct Tried<'v> {
    trial: Trial,
    budget: &'v Budget,
}

impl<'v> Tried<'v> {
    pub(super) fn new(trial: Trial, budget: &'v Budget) -> Tried<'v> {
        Tried { trial, budget }
    }

    fn take(&self, steps: usize) -> Result<(), ExecutionError> {
        self.budget.take(u32::try_from(steps).unwrap_or(u32::MAX).saturating_add(1))
    }
}

impl Container for Tried<'_> {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        let answer = if let Some(text) = value.downcast_ref::<CelString<'_>>() {
            self.take(text.inner().len() / STEP_BYTES)?;
            self.trial.text(text.inner())
        } else if let Some(number) = value.downcast_ref::<CelDouble>() {
            self.trial.number(*number.inner())
        } else if let (Trial::Unique, Some(list)) =
            (self.trial, value.downcast_ref::<CelList<'_>>())
        {
            self.take(list.inner().len())?;
            are_unique(list.inner())
        } else {
            None
        };
        answer.ok_or_else(|| ExecutionError::UnexpectedType {
            got: value.get_type().name().to_owned(),
            want: match self.trial {
                Trial::Nan | Trial::Inf { .. } => "double",
                Trial::Unique => "list of scalars",
                Trial::Email
                | Trial::Hostname
                | Trial::HostAndPort { .. }
                | Trial::Ip { .. }
                | Trial::IpPrefix { .. }
                | Trial::Uri
                | Trial::UriRef => "string",
            }
            .into(),
        })
    }
}

impl Val for Tried<'_> {
    fn get_type(&self) -> &Type {
        &MAP
    }

    fn cel_type() -> &'static Type {
        &MAP
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v>
    where
        Self: 'v,
    {
        Box::new(Tried { trial: self.trial, budget: self.budget })
    }
}

impl fmt::Debug for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("trial")
    }
}
