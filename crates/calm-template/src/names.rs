//! The names that statements mention.

use crate::ast::{CallArgs, Expr, Macro, Node, NodeKind};

/// Calls `see` with each name that these statements read, other than those within macros of their own.
pub(crate) fn visit(nodes: &[Node], see: &mut impl FnMut(&str)) {
    for node in nodes {
        match &node.kind {
            NodeKind::Text(_) | NodeKind::Break | NodeKind::Continue | NodeKind::Macro(_) => {}
            NodeKind::Print(value) | NodeKind::Set(_, value) => expression(value, see),
            NodeKind::For(node) => {
                expression(&node.items, see);
                node.condition
                    .iter()
                    .for_each(|value| expression(value, see));
                visit(&node.body, see);
                visit(&node.otherwise, see);
            }
            NodeKind::If(branches, otherwise) => {
                for (condition, body) in branches {
                    expression(condition, see);
                    visit(body, see);
                }
                visit(otherwise, see);
            }
            NodeKind::SetBlock(_, filters, body) => {
                filters.iter().for_each(|value| expression(value, see));
                visit(body, see);
            }
            NodeKind::With(values, body) => {
                values.iter().for_each(|(_, value)| expression(value, see));
                visit(body, see);
            }
            NodeKind::Filter(filter, body) => {
                expression(filter, see);
                visit(body, see);
            }
            NodeKind::Call(call, caller) => {
                expression(call, see);
                visit_macro(caller, see);
            }
            NodeKind::Scope(body) | NodeKind::Block(body) => visit(body, see),
        }
    }
}

/// The body of a `call` block reads the arguments of the macro around it.
fn visit_macro(caller: &Macro, see: &mut impl FnMut(&str)) {
    let defaults = caller.signature.defaults.iter();
    defaults.for_each(|value| expression(value, see));
    visit(&caller.body, see);
}

fn expression(value: &Expr, see: &mut impl FnMut(&str)) {
    match value {
        Expr::Const(_) => {}
        Expr::Name(name) => see(name),
        Expr::Tuple(items)
        | Expr::List(items)
        | Expr::And(items)
        | Expr::Or(items)
        | Expr::Concat(items) => items.iter().for_each(|item| expression(item, see)),
        Expr::Dict(items) => items.iter().for_each(|(key, value)| {
            expression(key, see);
            expression(value, see);
        }),
        Expr::Attribute(value, _) | Expr::Unary(_, value) => expression(value, see),
        Expr::Item(value, index) => {
            expression(value, see);
            expression(index, see);
        }
        Expr::Slice(value, parts) => {
            expression(value, see);
            parts
                .iter()
                .flatten()
                .for_each(|part| expression(part, see));
        }
        Expr::Call(value, args) | Expr::Test(value, _, args) => {
            expression(value, see);
            arguments(args, see);
        }
        Expr::Filter(value, _, args) => {
            value.iter().for_each(|value| expression(value, see));
            arguments(args, see);
        }
        Expr::Binary(value, rest) => {
            expression(value, see);
            rest.iter().for_each(|(_, value)| expression(value, see));
        }
        Expr::Compare(value, rest) => {
            expression(value, see);
            rest.iter().for_each(|(_, value)| expression(value, see));
        }
        Expr::Choice(condition, value, otherwise) => {
            expression(condition, see);
            expression(value, see);
            otherwise.iter().for_each(|value| expression(value, see));
        }
    }
}

fn arguments(args: &CallArgs, see: &mut impl FnMut(&str)) {
    args.positional
        .iter()
        .for_each(|value| expression(value, see));
    args.named
        .iter()
        .for_each(|(_, value)| expression(value, see));
    let more = args.more.iter().chain(&args.more_named);
    more.for_each(|value| expression(value, see));
}
