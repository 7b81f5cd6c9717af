//! One bridge: f_proj and f_cross of section 3.1.

use burn::module::{Module, Param};
use burn::nn::Linear;
use burn::tensor::activation::{sigmoid, softmax};
use burn::tensor::{DType, Device, FloatDType, Tensor, TensorData};
use calm_backend::{SeededInit, ops};

use crate::{BridgeOptions, ComposeError, Gate, Memory, OutputInit};

/// Sizes and options of a [`Bridge`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BridgeConfig {
    /// Width of the augmenting model, D_A.
    pub d_augmenting: usize,
    /// Width of the anchor, D_B.
    pub d_anchor: usize,
    /// Attention heads, N_H; the paper takes the anchor's own number.
    pub heads: usize,
    /// Departures from the paper's bridge.
    pub options: BridgeOptions,
}

impl BridgeConfig {
    /// The paper's bridge for these sizes.
    pub fn new(d_augmenting: usize, d_anchor: usize, heads: usize) -> Self {
        Self {
            d_augmenting,
            d_anchor,
            heads,
            options: BridgeOptions::paper(),
        }
    }

    /// Width of queries, keys and values of all heads together.
    pub fn d_inner(&self) -> usize {
        self.options.d_inner.unwrap_or(self.d_anchor)
    }

    /// Checks that the heads divide the width that they share.
    ///
    /// # Errors
    ///
    /// [`ComposeError::Heads`] if they don't, or if there are none,
    /// [`ComposeError::NormEpsilon`] if the epsilon of the norms is not in [0, 1].
    pub fn validate(&self) -> Result<(), ComposeError> {
        let d_inner = self.d_inner();
        if self.heads == 0 || d_inner == 0 || !d_inner.is_multiple_of(self.heads) {
            return Err(ComposeError::Heads {
                heads: self.heads,
                d_inner,
            });
        }
        self.options.validate()
    }

    /// Parameters of one bridge as stored, with W_O, biases, norms and gate.
    pub fn parameter_count(&self) -> usize {
        let (options, d_anchor, d_inner) = (&self.options, self.d_anchor, self.d_inner());
        let extra = [
            (true, d_inner * d_anchor), // W_O
            (true, d_anchor),           // the bias of f_proj
            (options.bias, 3 * d_inner + d_anchor),
            (options.anchor_norm, d_anchor),
            (options.augmenting_norm, self.d_augmenting),
            (options.output_norm, d_anchor),
            (options.gate == Gate::Scalar, 1),
            (options.gate == Gate::Heads, (d_anchor + 1) * self.heads),
        ];
        let extra = extra.into_iter().filter(|(has, _)| *has);
        self.paper_parameter_count() + extra.map(|(_, count)| count).sum::<usize>()
    }

    /// Parameters of one bridge by the paper's count (appendix C.1): f_proj, W_Q, W_K and W_V
    /// without biases, D_A D_B + 3 D_B², or with an inner width d, D_A D_B + 3 D_B d.
    pub fn paper_parameter_count(&self) -> usize {
        self.d_anchor * (self.d_augmenting + 3 * self.d_inner())
    }

    /// A fresh bridge. Its output is zero, or small with [`OutputInit::Random`]. Matrices are normal
    /// with standard deviation 1/√(inputs), weights of norms are one, biases zero. Parameters are in
    /// `f32`, whatever the bridge computes in: steps of training are too small for half precision.
    pub fn init(&self, init: &mut SeededInit, device: &Device) -> Bridge {
        let (options, heads) = (self.options, self.heads);
        let (d_augmenting, d_anchor, d_inner) = (self.d_augmenting, self.d_anchor, self.d_inner());
        let mut fresh = Fresh { init, device };
        let start = Start::of(&options);
        let bias = options.bias;
        Bridge {
            projection: fresh.linear([d_augmenting, d_anchor], 1.0, true),
            query: fresh.linear([d_anchor, d_inner], 1.0, bias),
            key: fresh.linear([d_anchor, d_inner], 1.0, bias),
            value: fresh.linear([d_anchor, d_inner], 1.0, bias),
            output: fresh.linear([d_inner, d_anchor], start.output_scale, bias),
            anchor_norm: options.anchor_norm.then(|| fresh.vector(d_anchor, 1.0)),
            augmenting_norm: options
                .augmenting_norm
                .then(|| fresh.vector(d_augmenting, 1.0)),
            output_norm: options
                .output_norm
                .then(|| fresh.vector(d_anchor, start.norm)),
            gate: (options.gate == Gate::Scalar).then(|| fresh.vector(1, start.gate)),
            head_gate: (options.gate == Gate::Heads)
                .then(|| fresh.linear([d_anchor, heads], 0.0, true)),
            output_unit: 1.0,
            config: *self,
        }
    }
}

/// Initial sizes of the factors of a bridge's output.
struct Start {
    /// Size of W_O in units of the other matrices.
    output_scale: f64,
    /// The weight of the norm behind W_O.
    norm: f64,
    /// The scalar gate g.
    gate: f64,
}

/// Size of a random W_O in units of the other matrices.
const SMALL: f64 = 0.1;

impl Start {
    fn of(options: &BridgeOptions) -> Self {
        let small = Self {
            output_scale: SMALL,
            norm: 1.0,
            gate: 1.0,
        };
        match options.output_init {
            OutputInit::Random => small,
            OutputInit::Zero if options.gate == Gate::Scalar => Self { gate: 0.0, ..small },
            OutputInit::Zero if options.output_norm => Self { norm: 0.0, ..small },
            OutputInit::Zero => Self {
                output_scale: 0.0,
                ..small
            },
        }
    }
}

/// Makes fresh parameters.
struct Fresh<'a> {
    init: &'a mut SeededInit,
    device: &'a Device,
}

impl Fresh<'_> {
    /// A matrix with entries of standard deviation `scale` / √(inputs), and a bias of zeros.
    fn linear(&mut self, shape: [usize; 2], scale: f64, bias: bool) -> Linear {
        let std = scale * (shape[0] as f64).sqrt().recip();
        Linear {
            weight: self.init.normal(shape, std, self.device),
            bias: bias.then(|| self.vector(shape[1], 0.0)),
        }
    }

    fn vector(&self, width: usize, value: f64) -> Param<Tensor<1>> {
        Param::from_tensor(Tensor::full([width], value, self.device))
    }
}

/// Cross-attention from one anchor block to one augmenting block:
///
/// ```text
/// P       = H_A W_P + b                                 f_proj
/// head_h  = softmax(Q_h K_hᵀ / √d_head) V_h             Q = H_B W_Q, K = P W_K, V = P W_V
/// H_A⊕B   = H_B + [head_1 … head_N] W_O                 f_cross
/// ```
///
/// [`BridgeOptions`] put norms, biases and gates between these steps, see docs/composition.md.
/// While it is trained, the output may have a further factor, [`Bridge::output_unit`].
#[derive(Module, Debug)]
pub struct Bridge {
    /// f_proj, `[d_augmenting, d_anchor]` with bias.
    pub projection: Linear,
    /// W_Q, `[d_anchor, d_inner]`.
    pub query: Linear,
    /// W_K, `[d_anchor, d_inner]`.
    pub key: Linear,
    /// W_V, `[d_anchor, d_inner]`.
    pub value: Linear,
    /// W_O, `[d_inner, d_anchor]`.
    pub output: Linear,
    /// W_G of [`Gate::Heads`], `[d_anchor, heads]` with bias.
    pub head_gate: Option<Linear>,
    /// Weight of the norm before W_Q, `[d_anchor]`.
    pub anchor_norm: Option<Param<Tensor<1>>>,
    /// Weight of the norm before f_proj, `[d_augmenting]`.
    pub augmenting_norm: Option<Param<Tensor<1>>>,
    /// Weight of the norm behind W_O, `[d_anchor]`.
    pub output_norm: Option<Param<Tensor<1>>>,
    /// g of [`Gate::Scalar`], `[1]`.
    pub gate: Option<Param<Tensor<1>>>,
    /// Factor of the output while it is learnt in other units than one, a power of two.
    #[module(skip)]
    output_unit: f64,
    #[module(skip)]
    config: BridgeConfig,
}

impl Bridge {
    /// Sizes and options.
    pub fn config(&self) -> BridgeConfig {
        self.config
    }

    /// The unit in which the output is learnt: [`Bridge::forward`] multiplies by it, last of all. One
    /// for bridges that were opened.
    pub fn output_unit(&self) -> f64 {
        self.output_unit
    }

    /// With an output in this unit, a power of two: the output is `unit` times what it was in unit one.
    pub(crate) fn with_output_unit(self, unit: f64) -> Self {
        Self {
            output_unit: unit,
            ..self
        }
    }

    /// The same function without a unit.
    pub(crate) fn in_unit_one(self) -> Self {
        self.in_unit(1.0)
    }

    /// The same function with an output that is learnt in this unit, a power of two: its last factor
    /// is divided by what the unit grows by, which keeps every bit of the output.
    pub(crate) fn in_unit(mut self, unit: f64) -> Self {
        let factor = self.output_unit / unit;
        if factor == 1.0 {
            return self;
        }
        self.output_unit = unit;
        let vector = |vector: &mut Param<Tensor<1>>| *vector = scaled(vector, factor);
        match &mut self.output_norm {
            Some(weight) => vector(weight),
            None => {
                self.output.weight = scaled(&self.output.weight, factor);
                self.output.bias.iter_mut().for_each(vector);
            }
        }
        self
    }

    /// With f_proj multiplied by this.
    pub(crate) fn scale_projection(&mut self, factor: f64) {
        self.projection.weight = scaled(&self.projection.weight, factor);
    }

    /// Keys and values of augmenting positions, which a [`Memory`] holds.
    ///
    /// # Shapes
    ///
    /// - `augmenting`: `[batch, seq_augmenting, d_augmenting]`, the output of the connected block
    /// - keys and values: `[batch, heads, seq_augmenting, d_head]`
    pub fn keys_values(&self, augmenting: Tensor<3>) -> (Tensor<4>, Tensor<4>) {
        let projected = self.map(&self.projection, self.projection_input(augmenting));
        let keys = self.split_heads(self.map(&self.key, projected.clone()));
        (keys, self.split_heads(self.map(&self.value, projected)))
    }

    /// The input of f_proj, `[batch, seq_augmenting, d_augmenting]`.
    pub(crate) fn projection_input(&self, augmenting: Tensor<3>) -> Tensor<3> {
        self.normed(self.in_own_type(augmenting), self.augmenting_norm.as_ref())
    }

    /// [`Memory::bias`] for augmenting positions that have these places in the text, which are worked
    /// out only for [`BridgeOptions::alibi`]; none without it.
    ///
    /// # Shapes
    ///
    /// - `places`: give `[batch, seq_augmenting]`
    /// - output: `[batch, heads, 1, seq_augmenting]`
    pub(crate) fn bias(
        &self,
        places: impl FnOnce() -> Vec<Vec<usize>>,
        device: &Device,
    ) -> Option<Tensor<4>> {
        if !self.config.options.alibi {
            return None;
        }
        let places = places();
        let heads = self.config.heads;
        let mut biases = Vec::new();
        for row in &places {
            for slope in (0..heads).map(|head| slope(head, heads)) {
                biases.extend(row.iter().map(|place| (slope * *place as f64) as f32));
            }
        }
        let shape = [places.len(), heads, 1, places.first().map_or(0, Vec::len)];
        let biases = TensorData::new(biases, shape);
        Some(Tensor::from_data(biases, (device, DType::F32)))
    }

    /// The anchor's hidden states plus what they read from the memory.
    ///
    /// To a position that may see nothing zero is added, or with [`BridgeOptions::bias`] the bias of
    /// W_O.
    ///
    /// # Shapes
    ///
    /// - `anchor`: `[batch, seq_anchor, d_anchor]`, the output of the connected block
    /// - output: `[batch, seq_anchor, d_anchor]`
    pub fn forward(&self, anchor: Tensor<3>, memory: Memory) -> Tensor<3> {
        let read = self.read(anchor.clone(), memory);
        anchor + read
    }

    /// Attention weights of all heads: softmax(Q Kᵀ / √d_head), zero at masked positions.
    ///
    /// # Shapes
    ///
    /// - as of [`Bridge::forward`]
    /// - output: `[batch, heads, seq_anchor, seq_augmenting]`, in `f32`
    pub fn attention_weights(&self, anchor: Tensor<3>, memory: &Memory) -> Tensor<4> {
        let queries = self.queries(self.query_input(anchor));
        let keys = memory.keys.clone().swap_dims(2, 3);
        let scores = queries.matmul(keys).cast(DType::F32) * self.scale();
        let scores = match &memory.bias {
            Some(bias) => scores + bias.clone(),
            None => scores,
        };
        let Some(masked) = &memory.masked else {
            return softmax(scores, 3);
        };
        let masked = masked.clone().expand(scores.shape());
        // The softmax of a row that is masked throughout is uniform, so zeros are set behind it.
        let weights = softmax(scores.mask_fill(masked.clone(), f32::MIN), 3);
        weights.mask_fill(masked, 0.0)
    }

    /// The term that [`Bridge::forward`] adds: attention over the memory, W_O, norm and gate,
    /// `[batch, seq_anchor, d_anchor]`.
    pub(crate) fn read(&self, anchor: Tensor<3>, memory: Memory) -> Tensor<3> {
        let Memory {
            keys,
            values,
            masked,
            bias,
        } = memory;
        let ([batch, seq, _], dtype) = (anchor.dims(), anchor.dtype());
        let input = self.query_input(anchor);
        let queries = self.queries(input.clone());
        let d_inner = self.config.d_inner();
        let heads = match bias {
            None => ops::attention(queries, keys, values, masked, self.scale()),
            Some(bias) => ops::biased_attention(queries, keys, values, masked, self.scale(), bias),
        };
        let heads = self
            .gate_heads(heads, input)
            .swap_dims(1, 2) // [batch, seq_anchor, heads, d_head]
            .reshape([batch, seq, d_inner]);
        let read = self.map(&self.output, heads);
        let read = self.gated(self.normed(read, self.output_norm.as_ref()));
        let read = match self.output_unit {
            1.0 => read,
            unit => read * unit,
        };
        read.cast(dtype)
    }

    /// The input of W_Q, `[batch, seq_anchor, d_anchor]`.
    fn query_input(&self, anchor: Tensor<3>) -> Tensor<3> {
        self.normed(self.in_own_type(anchor), self.anchor_norm.as_ref())
    }

    /// `[batch, heads, seq_anchor, d_head]`.
    fn queries(&self, input: Tensor<3>) -> Tensor<4> {
        self.split_heads(self.map(&self.query, input))
    }

    /// 1 / √d_head.
    fn scale(&self) -> f64 {
        let d_head = self.config.d_inner() / self.config.heads;
        (d_head as f64).sqrt().recip()
    }

    fn gate_heads(&self, heads: Tensor<4>, input: Tensor<3>) -> Tensor<4> {
        let Some(gate) = &self.head_gate else {
            return heads;
        };
        let open = sigmoid(self.map(gate, input)).swap_dims(1, 2); // [batch, heads, seq_anchor]
        heads * open.unsqueeze_dim::<4>(3)
    }

    fn gated(&self, read: Tensor<3>) -> Tensor<3> {
        match &self.gate {
            Some(gate) => read * self.in_own_type(gate.val()).tanh().reshape([1, 1, 1]),
            None => read,
        }
    }

    fn normed(&self, x: Tensor<3>, weight: Option<&Param<Tensor<1>>>) -> Tensor<3> {
        match weight {
            Some(weight) => {
                let epsilon = self.config.options.norm_epsilon;
                ops::rms_norm(x, self.in_own_type(weight.val()), epsilon)
            }
            None => x,
        }
    }

    /// Matrices with their biases, by their names in files.
    pub(crate) fn linears(&self) -> Vec<(&'static str, &Linear)> {
        let mut linears = vec![
            ("proj", &self.projection),
            ("q", &self.query),
            ("k", &self.key),
            ("v", &self.value),
            ("o", &self.output),
        ];
        linears.extend(self.head_gate.as_ref().map(|gate| ("head_gate", gate)));
        linears
    }

    /// [`Bridge::linears`], mutable.
    pub(crate) fn linears_mut(&mut self) -> Vec<(&'static str, &mut Linear)> {
        let mut linears = vec![
            ("proj", &mut self.projection),
            ("q", &mut self.query),
            ("k", &mut self.key),
            ("v", &mut self.value),
            ("o", &mut self.output),
        ];
        linears.extend(self.head_gate.as_mut().map(|gate| ("head_gate", gate)));
        linears
    }

    /// Vectors, by their names in files.
    pub(crate) fn vectors(&self) -> Vec<(&'static str, &Param<Tensor<1>>)> {
        let named = [
            ("anchor_norm.weight", &self.anchor_norm),
            ("augmenting_norm.weight", &self.augmenting_norm),
            ("output_norm.weight", &self.output_norm),
            ("gate", &self.gate),
        ];
        let named = named.into_iter();
        named
            .filter_map(|(name, vector)| Some((name, vector.as_ref()?)))
            .collect()
    }

    /// [`Bridge::vectors`], mutable.
    pub(crate) fn vectors_mut(&mut self) -> Vec<(&'static str, &mut Param<Tensor<1>>)> {
        let named = [
            ("anchor_norm.weight", &mut self.anchor_norm),
            ("augmenting_norm.weight", &mut self.augmenting_norm),
            ("output_norm.weight", &mut self.output_norm),
            ("gate", &mut self.gate),
        ];
        let named = named.into_iter();
        named
            .filter_map(|(name, vector)| Some((name, vector.as_mut()?)))
            .collect()
    }

    fn map(&self, linear: &Linear, x: Tensor<3>) -> Tensor<3> {
        let bias = linear.bias.as_ref();
        let bias = bias.map(|bias| self.in_own_type(bias.val()));
        ops::linear(x, self.in_own_type(linear.weight.val()), bias)
    }

    /// In the bridge's type: the models may compute in another one, and training keeps parameters in
    /// `f32`.
    fn in_own_type<const D: usize>(&self, x: Tensor<D>) -> Tensor<D> {
        x.cast(FloatDType::from(self.config.options.dtype))
    }

    fn split_heads(&self, x: Tensor<3>) -> Tensor<4> {
        let [batch, seq, d_inner] = x.dims();
        let heads = self.config.heads;
        x.reshape([batch, seq, heads, d_inner / heads])
            .swap_dims(1, 2)
    }
}

/// The slope of a head's biases: from 4, where one position more outweighs a factor of 55, evenly by
/// their logarithm to 1/64 and less. ALiBi's own begin at 1/2; a bridge has to find one position.
fn slope(head: usize, heads: usize) -> f64 {
    (2.0 - 8.0 * head as f64 / heads as f64).exp2()
}

fn scaled<const D: usize>(parameter: &Param<Tensor<D>>, factor: f64) -> Param<Tensor<D>> {
    Param::from_tensor((parameter.val() * factor).detach())
}
