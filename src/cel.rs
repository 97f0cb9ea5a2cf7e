//! Expressions in CEL (<https://cel.dev>), bounded by us.
//!
//! Strangers write them, so nothing in them may run for long. What can be known beforehand
//! is refused at once with its place ([`Mistake`]): names that nothing has, functions that are not
//! offered, and whatever is too long, too deep or too often nested. What depends on what they are asked of is
//! counted as it runs ([`Budget`]). Which names there are, and what they stand for, is told by who asks
//! ([`Names`], [`Scope`]).

mod trials;
mod values;

use std::{
    fmt::Debug,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use cel::{
    Context, Env, ExecutionError, Value as CelValue,
    common::{
        ast::{CallExpr, ComprehensionExpr, Expr, IdedExpr, LiteralValue, operators},
        types::{CelBool, CelString},
        value::CowVal,
    },
    context::VariableResolver,
    parser::{
        PrattParser,
        pratt_parser::{Lexer, TokenKind},
    },
};
use regex::{Regex, RegexBuilder};

pub(crate) use self::values::{
    ATTRIBUTES, Boxed, Budget, Object, Source, json, of_message, of_proto, time_value,
};
use self::{
    trials::{Trial, Tried},
    values::Pattern,
};
use crate::limits::{
    CEL_BYTES_MAX, CEL_DEPTH_MAX, CEL_LOOPS_DEEP_MAX, CEL_NODES_MAX, CEL_PATTERN_BYTES_MAX,
};

/// Names that no expression can have, so that they are ours.
const STEP: &str = "@step";
const PATTERN: &str = "@pattern";
const TRIAL: &str = "@trial";
/// Behind the name of a field: not its value is asked for, but whether it is set.
const SET: char = '\0';

const OPERATORS: [&str; 18] = [
    operators::CONDITIONAL,
    operators::LOGICAL_AND,
    operators::LOGICAL_OR,
    operators::LOGICAL_NOT,
    operators::SUBSTRACT,
    operators::ADD,
    operators::MULTIPLY,
    operators::DIVIDE,
    operators::MODULO,
    operators::EQUALS,
    operators::NOT_EQUALS,
    operators::GREATER_EQUALS,
    operators::LESS_EQUALS,
    operators::GREATER,
    operators::LESS,
    operators::NEGATE,
    operators::INDEX,
    operators::IN,
];
/// With one argument, called as `size(x)`; `size` also as `x.size()`.
const FUNCTIONS: [&str; 8] =
    ["size", "int", "uint", "double", "string", "bool", "timestamp", "duration"];
/// With one argument, called on a text.
const OF_TEXTS: [&str; 3] = ["contains", "startsWith", "endsWith"];
/// Of times, with a time zone as argument or without one.
const OF_TIMES: [&str; 10] = [
    "getFullYear",
    "getMonth",
    "getDate",
    "getDayOfMonth",
    "getDayOfWeek",
    "getDayOfYear",
    "getHours",
    "getMinutes",
    "getSeconds",
    "getMilliseconds",
];

/// What an expression may speak of.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) all: &'static [&'static str],
    /// One of them has nothing but these fields, and means nothing by itself.
    pub(crate) fixed: Option<(&'static str, &'static [&'static str])>,
    /// What the expression is called.
    pub(crate) what: &'static str,
    /// Whether there are the functions of protovalidate.
    pub(crate) trials: bool,
}

/// What names stand for.
pub(crate) trait Scope: Debug + Sync {
    fn value<'v>(&'v self, name: &str, budget: &'v Budget) -> Option<Boxed<'v>>;
}

/// What is wrong in the text, and where: both count from 1, columns in characters.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: {message}")]
pub struct Mistake {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum NoAnswer {
    /// No such field, another type than the expression needs, a division by zero …
    Failed(ExecutionError),
    /// Something else than was asked for.
    OtherType,
    TooMuch,
    /// Of the library.
    Panicked,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Bool(bool),
    Text(String),
}

/// An expression that has passed.
#[derive(Debug)]
pub(crate) struct Program {
    text: String,
    expression: IdedExpr,
    /// What one turn of each loop takes, of all that stands inside it.
    loops: Vec<u32>,
    nodes: u32,
    patterns: Vec<Regex>,
    trials: Vec<Trial>,
}

/// Says of a token that a mistake stands there.
type IsMeant<'a> = &'a dyn Fn(&str, TokenKind) -> bool;

/// What is known while an expression is checked.
struct Checked<'a> {
    text: &'a str,
    names: &'a Names,
    loops: Vec<u32>,
    nodes: u32,
    patterns: Vec<Regex>,
    trials: Vec<Trial>,
    /// Names that loops around have given.
    variables: Vec<String>,
    deep: usize,
}

struct Resolver<'a> {
    program: &'a Program,
    scope: &'a dyn Scope,
    budget: &'a Budget,
}

impl Mistake {
    /// At a byte of the text.
    fn at(text: &str, at: usize, message: &str) -> Mistake {
        let before = &text[..text.floor_char_boundary(at)];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        Mistake::new(line, column, message)
    }

    /// What it quotes may be as long as the expression.
    fn new(line: usize, column: usize, message: &str) -> Mistake {
        const MESSAGE_BYTES_MAX: usize = 500;
        let message = message[..message.floor_char_boundary(MESSAGE_BYTES_MAX)].to_owned();
        Mistake { line, column, message }
    }
}

impl VariableResolver for Resolver<'_> {
    fn resolve<'b>(&'b self, name: &str) -> Option<CowVal<'b, 'b>> {
        let numbered = |prefix: &str| name.strip_prefix(prefix)?.parse::<usize>().ok();
        if let Some(index) = numbered(STEP) {
            // Whatever a turn looks at is at most as heavy as the heaviest element.
            let takes = self.program.loops[index].saturating_mul(self.budget.heaviest());
            self.budget.take(takes).ok()?;
            return Some(CowVal::owned(CelBool::from(true)));
        }
        if let Some(index) = numbered(PATTERN) {
            let pattern = &self.program.patterns[index];
            return Some(CowVal::owned(Pattern::new(pattern, self.budget)));
        }
        if let Some(index) = numbered(TRIAL) {
            return Some(CowVal::owned(Tried::new(self.program.trials[index], self.budget)));
        }
        self.scope.value(name, self.budget).map(CowVal::Owned)
    }
}

impl Program {
    /// A parser that panics has found a mistake.
    pub(crate) fn parse(text: &str, names: &Names) -> Result<Program, Mistake> {
        contained(|| Program::read(text, names))
            .unwrap_or_else(|| Err(Mistake::new(1, 1, "this expression cannot be read")))
    }

    fn read(text: &str, names: &Names) -> Result<Program, Mistake> {
        let begin = |message: String| Mistake::new(1, 1, &message);
        if text.len() > CEL_BYTES_MAX {
            let bytes = text.len();
            return Err(begin(format!("it has {bytes} bytes, and may have {CEL_BYTES_MAX}")));
        }
        let parser = PrattParser::new()
            .max_recursion_depth(CEL_DEPTH_MAX)
            .max_expression_node_count(CEL_NODES_MAX)
            .error_recovery_limit(1);
        let mut expression = parser.parse(text).map_err(|errors| {
            // What is of no place says only that there are more of them.
            let first = errors.errors.into_iter().min_by_key(|error| (error.pos.0 == 0, error.pos));
            first.map_or_else(
                || begin("it cannot be read".into()),
                |error| Mistake::at(text, byte_of(text, error.pos), &error.msg),
            )
        })?;
        let mut checked = Checked {
            text,
            names,
            loops: Vec::new(),
            nodes: 0,
            patterns: Vec::new(),
            trials: Vec::new(),
            variables: Vec::new(),
            deep: 0,
        };
        checked.check(&mut expression)?;
        let Checked { loops, nodes, patterns, trials, .. } = checked;
        Ok(Program { text: text.to_owned(), expression, loops, nodes, patterns, trials })
    }

    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Those of `matches`.
    pub(crate) fn patterns(&self) -> impl Iterator<Item = &str> {
        self.patterns.iter().map(Regex::as_str)
    }

    /// Also says how many steps it took, of those that it may.
    pub(crate) fn evaluate(
        &self,
        scope: &dyn Scope,
        allowed: u32,
    ) -> (Result<Answer, NoAnswer>, u32) {
        let budget = Budget::new(allowed);
        let resolver = Resolver { program: self, scope, budget: &budget };
        let answer = contained(|| self.answer(&resolver)).unwrap_or(Err(NoAnswer::Panicked));
        match budget.left() {
            0 => (Err(NoAnswer::TooMuch), allowed),
            left => (answer, allowed - left),
        }
    }

    fn answer(&self, resolver: &Resolver<'_>) -> Result<Answer, NoAnswer> {
        static STANDARD: LazyLock<Arc<Env>> = LazyLock::new(|| Arc::new(Env::stdlib()));
        let mut context = Context::with_env(STANDARD.clone());
        context.set_variable_resolver(resolver);
        resolver.budget.take(self.nodes).map_err(NoAnswer::Failed)?;
        let answer = CelValue::resolve_val(&self.expression, &context);
        let answer = answer.map_err(NoAnswer::Failed)?;
        if let Some(answer) = answer.downcast_ref::<CelBool>() {
            return Ok(Answer::Bool(*answer.inner()));
        }
        let text = answer.downcast_ref::<CelString<'_>>();
        text.map(|text| Answer::Text(text.inner().to_owned())).ok_or(NoAnswer::OtherType)
    }
}

impl Checked<'_> {
    /// Refuses what is not offered, and puts in what counts.
    fn check(&mut self, expression: &mut IdedExpr) -> Result<(), Mistake> {
        self.nodes += 1;
        if self.nodes > u32::try_from(CEL_NODES_MAX).unwrap_or(u32::MAX) {
            return Err(self.mistake(None, format!("it has more than {CEL_NODES_MAX} parts")));
        }
        self.deep += 1;
        if self.deep > usize::from(CEL_DEPTH_MAX) {
            let limit = CEL_DEPTH_MAX;
            return Err(self.mistake(None, format!("its parts are nested more than {limit} deep")));
        }
        match &mut expression.expr {
            Expr::Literal(_) => (),
            Expr::Ident(name) => self.name(name)?,
            Expr::Select(select) => {
                match (&select.operand.expr, self.names.fixed) {
                    (Expr::Ident(name), Some((fixed, fields))) if name == fixed => {
                        self.field(fixed, fields, &select.field)?;
                    }
                    _ => self.check(&mut select.operand)?,
                }
                if select.test {
                    select.field.push(SET);
                }
            }
            Expr::Call(call) => self.call(call)?,
            Expr::List(list) if list.optional_indices.is_empty() => {
                list.elements.iter_mut().try_for_each(|element| self.check(element))?;
            }
            Expr::Comprehension(comprehension) => self.comprehension(comprehension)?,
            Expr::Map(_) | Expr::Struct(_) => {
                let message = format!("maps and messages cannot be written in {}", self.names.what);
                return Err(self.mistake(Some(&|_, kind| kind == TokenKind::TokLeftBrace), message));
            }
            Expr::List(_) | Expr::Unspecified => {
                return Err(self.mistake(None, "it cannot be read".into()));
            }
        }
        self.deep -= 1;
        Ok(())
    }

    fn name(&self, name: &str) -> Result<(), Mistake> {
        if let Some((fixed, fields)) = self.names.fixed
            && fixed == name
        {
            let message = format!("{name} has to be followed by one of {}", fields.join(", "));
            return Err(self.at_name(name, message));
        }
        if self.names.all.contains(&name) || self.variables.iter().any(|known| known == name) {
            return Ok(());
        }
        let message = format!("there is no {name:?}: there are {}", self.names.all.join(" and "));
        Err(self.at_name(name, message))
    }

    fn field(&mut self, of: &str, fields: &[&str], name: &str) -> Result<(), Mistake> {
        self.nodes += 1;
        if fields.contains(&name) {
            return Ok(());
        }
        Err(self.at_name(name, format!("{of} has no {name:?}: it has {}", fields.join(", "))))
    }

    fn call(&mut self, call: &mut CallExpr) -> Result<(), Mistake> {
        let (name, on) = (call.func_name.as_str(), call.target.is_some());
        if self.names.trials
            && on
            && let Some(trial) = Trial::of(name, &call.args)
        {
            return self.trial(call, trial);
        }
        let is_offered = match (name, on, call.args.len()) {
            ("matches", true, 1) | ("matches", false, 2) => return self.matches(call),
            (operators::NOT_STRICTLY_FALSE, false, _) => true,
            (_, false, _) if OPERATORS.contains(&name) => true,
            (_, false, 1) => FUNCTIONS.contains(&name),
            ("size", true, 0) => true,
            (_, true, 1) if OF_TEXTS.contains(&name) => true,
            (_, true, 0 | 1) => OF_TIMES.contains(&name),
            _ => false,
        };
        if !is_offered {
            let trials = if self.names.trials { &trials::NAMES[..] } else { &[] };
            let functions =
                [&FUNCTIONS[..], &OF_TEXTS, &["matches"], trials, &OF_TIMES].concat().join(", ");
            let message = format!(
                "there is no {name:?} that is called so: there are {functions}, and the macros has, \
                 all, exists and exists_one"
            );
            return Err(self.at_name(name, message));
        }
        let CallExpr { target, args, .. } = call;
        target.iter_mut().try_for_each(|target| self.check(target))?;
        args.iter_mut().try_for_each(|argument| self.check(argument))
    }

    fn trial(&mut self, call: &mut CallExpr, trial: Trial) -> Result<(), Mistake> {
        let Some(mut value) = call.target.take() else { return Ok(()) };
        self.check(&mut value)?;
        let trial_name = format!("{TRIAL}{}", self.trials.len());
        self.trials.push(trial);
        call.func_name = operators::IN.into();
        call.args = vec![*value, IdedExpr { id: 0, expr: Expr::Ident(trial_name) }];
        Ok(())
    }

    /// The pattern is compiled here, once; where it is asked for is a value that knows it.
    fn matches(&mut self, call: &mut CallExpr) -> Result<(), Mistake> {
        let (pattern, text) = (call.args.pop(), call.target.take().map(|text| *text));
        let text = text.or_else(|| call.args.pop());
        let (Some(pattern), Some(mut text)) = (pattern, text) else {
            return Err(self.at_name("matches", "matches needs a text and a pattern".into()));
        };
        let Expr::Literal(LiteralValue::String(pattern)) = &pattern.expr else {
            let message = "the pattern of matches has to be written out, as a text in quotes";
            return Err(self.at_name("matches", message.into()));
        };
        let compiled = RegexBuilder::new(pattern.inner()).size_limit(CEL_PATTERN_BYTES_MAX).build();
        let compiled = compiled.map_err(|error| {
            let error = error.to_string();
            let last = error.lines().last().unwrap_or_default().trim_start_matches("error: ");
            self.at_name("matches", format!("the pattern is none: {last}"))
        })?;
        self.check(&mut text)?;
        let pattern = format!("{PATTERN}{}", self.patterns.len());
        self.patterns.push(compiled);
        call.func_name = operators::IN.into();
        call.args = vec![text, IdedExpr { id: 0, expr: Expr::Ident(pattern) }];
        Ok(())
    }

    fn comprehension(&mut self, turn: &mut ComprehensionExpr) -> Result<(), Mistake> {
        // `map` and `filter` build lists, which nothing here needs and which would have to be counted.
        if matches!(turn.accu_init.expr, Expr::List(_)) || turn.iter_var2.is_some() {
            let message =
                "map and filter are not offered: use all, exists or exists_one".to_owned();
            let is_it = |text: &str, _| matches!(text, "map" | "filter");
            return Err(self.mistake(Some(&is_it), message));
        }
        let name = turn.iter_var.clone();
        if self.names.all.contains(&name.as_str()) || self.variables.contains(&name) {
            let message = format!("{name:?} means something else already: choose another name");
            return Err(self.at_name(&name, message));
        }
        let loops_around = self.variables.len() / 2;
        if loops_around == CEL_LOOPS_DEEP_MAX {
            let limit = CEL_LOOPS_DEEP_MAX;
            let message = format!("all, exists and exists_one may be nested {limit} deep");
            return Err(self.at_name(&name, message));
        }
        self.check(&mut turn.iter_range)?;
        self.check(&mut turn.accu_init)?;
        self.variables.extend([name, turn.accu_var.clone()]);
        let before = self.nodes;
        self.check(&mut turn.loop_cond)?;
        self.check(&mut turn.loop_step)?;
        let takes = self.nodes - before;
        self.check(&mut turn.result)?;
        self.variables.truncate(2 * loops_around);

        let step = Expr::Ident(format!("{STEP}{}", self.loops.len()));
        self.loops.push(takes);
        let condition = std::mem::take(&mut turn.loop_cond);
        let func_name = operators::LOGICAL_AND.to_owned();
        let args = vec![condition, IdedExpr { id: 0, expr: step }];
        turn.loop_cond.expr = Expr::Call(CallExpr { func_name, target: None, args });
        Ok(())
    }

    fn at_name(&self, name: &str, message: String) -> Mistake {
        self.mistake(Some(&|text, _| text == name), message)
    }

    /// At the first token that is meant, or where the text begins: the parser does not tell where its
    /// parts stood.
    fn mistake(&self, is_meant: Option<IsMeant<'_>>, message: String) -> Mistake {
        let mut lexer = Lexer::new(self.text);
        let mut at = 0;
        while let Some(is_meant) = is_meant {
            let token = lexer.lex();
            if matches!(token.kind, TokenKind::TokEnd | TokenKind::TokError) {
                break;
            }
            if self.text.get(token.start..token.end).is_some_and(|text| is_meant(text, token.kind))
            {
                at = token.start;
                break;
            }
        }
        Mistake::at(self.text, at, &message)
    }
}

/// The parser counts columns in bytes.
fn byte_of(text: &str, (line, column): (isize, isize)) -> usize {
    let from_one = |number: isize| usize::try_from(number).unwrap_or_default().saturating_sub(1);
    let before = text.split_inclusive('\n').take(from_one(line)).map(str::len).sum::<usize>();
    before + from_one(column)
}

/// None where it panicked: the library is another's, and one expression is not worth a stream.
fn contained<T>(run: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(run)).ok()
}
