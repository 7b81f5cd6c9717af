//! Bodies that are run later: macros, and recursive loops.

use std::sync::Arc;

use crate::ast;

/// Number of a scope of variables.
pub(crate) type ScopeId = usize;

/// A body to be run later, and the scope that it sees.
#[derive(Debug, Clone)]
pub(crate) struct Closure {
    body: Body,
    scope: ScopeId,
}

#[derive(Debug, Clone)]
pub(crate) enum Body {
    Macro(Arc<ast::Macro>),
    /// A recursive loop, and its level.
    Loop(Arc<ast::For>, usize),
}

impl Closure {
    pub(crate) fn new(body: Body, scope: ScopeId) -> Self {
        Self { body, scope }
    }

    pub(crate) fn body(&self) -> &Body {
        &self.body
    }

    pub(crate) fn scope(&self) -> ScopeId {
        self.scope
    }

    pub(crate) fn name(&self) -> &str {
        match &self.body {
            Body::Macro(definition) => &definition.name,
            Body::Loop(..) => "loop",
        }
    }
}
