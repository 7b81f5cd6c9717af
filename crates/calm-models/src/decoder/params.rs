//! Parameters of a decoder by their ids.

use burn::nn::{Embedding, Linear};

use super::{Block, Decoder, FeedForward, Norm};
use crate::config::{BlockParam, GatedPart, ParamId};

/// A parameter of a decoder.
pub(crate) enum ParamRef<'a> {
    Table(&'a Embedding),
    Linear(&'a Linear),
    Norm(&'a Norm),
}

impl Decoder {
    /// A parameter; none if the decoder has no such parameter.
    pub(crate) fn param(&self, id: ParamId) -> Option<ParamRef<'_>> {
        match id {
            ParamId::Embedding => Some(ParamRef::Table(&self.embedding)),
            ParamId::Positions => self.position_embedding.as_ref().map(ParamRef::Table),
            ParamId::EmbeddingNorm => self.embedding_norm.as_ref().map(ParamRef::Norm),
            ParamId::Block(index, part) => self.blocks.get(index)?.param(part),
            ParamId::FinalNorm => Some(ParamRef::Norm(&self.norm)),
            ParamId::Head => self.head.as_ref().map(ParamRef::Linear),
        }
    }
}

impl Block {
    fn param(&self, part: BlockParam) -> Option<ParamRef<'_>> {
        let attention = &self.attention;
        let layer = || self.feed_forward.as_ref();
        let experts = || self.experts.as_ref();
        let shared = || experts()?.shared.as_ref();
        Some(match part {
            BlockParam::AttentionNorm => ParamRef::Norm(self.attention_norm.as_ref()?),
            BlockParam::Query => ParamRef::Linear(&attention.query),
            BlockParam::Key => ParamRef::Linear(&attention.key),
            BlockParam::Value => ParamRef::Linear(&attention.value),
            BlockParam::QueryNorm => ParamRef::Norm(attention.query_norm.as_ref()?),
            BlockParam::KeyNorm => ParamRef::Norm(attention.key_norm.as_ref()?),
            BlockParam::Output => ParamRef::Linear(&attention.output),
            BlockParam::AttentionPostNorm => ParamRef::Norm(self.attention_post_norm.as_ref()?),
            BlockParam::FeedForwardNorm => ParamRef::Norm(self.feed_forward_norm.as_ref()?),
            BlockParam::Gate => ParamRef::Linear(layer()?.gate.as_ref()?),
            BlockParam::Up => ParamRef::Linear(&layer()?.up),
            BlockParam::Down => ParamRef::Linear(&layer()?.down),
            BlockParam::Router => ParamRef::Linear(&experts()?.router),
            BlockParam::Expert(index, part) => {
                ParamRef::Linear(experts()?.layers.get(index)?.part(part)?)
            }
            BlockParam::Shared(part) => ParamRef::Linear(shared()?.layer.part(part)?),
            BlockParam::SharedGate => ParamRef::Linear(&shared()?.gate),
            BlockParam::FeedForwardPostNorm => {
                ParamRef::Norm(self.feed_forward_post_norm.as_ref()?)
            }
        })
    }
}

impl FeedForward {
    fn part(&self, part: GatedPart) -> Option<&Linear> {
        match part {
            GatedPart::Gate => self.gate.as_ref(),
            GatedPart::Up => Some(&self.up),
            GatedPart::Down => Some(&self.down),
        }
    }
}
