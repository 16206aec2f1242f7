//! Convolutional layers, in any number of spatial dimensions.

use bespoke_graph::op;

use crate::{Init, Padding, PerAxis, Value, window::spans};

/// Choices for convolutions: by default stride 1, no padding, no dilation, one group and a bias.
///
/// ```
/// use bespoke_nn::{Conv, F32, Graph, Padding};
///
/// let g = Graph::new();
/// let x = g.input("x", F32, [2, 3, 32, 32]);
/// let y = x.conv2d(8, 5, Conv::new().stride(2).padding(Padding::Same)).relu();
/// assert_eq!(y.ty().to_string(), "f32[2,8,16,16]");
/// let z = y.conv2d(16, [3, 1], Conv::new().padding([(2, 0), (0, 0)]).groups(2).bias(false));
/// assert_eq!(z.ty().to_string(), "f32[2,16,16,16]");
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Debug)]
pub struct Conv {
    stride: PerAxis,
    padding: Padding,
    dilation: PerAxis,
    groups: usize,
    output_padding: PerAxis,
    bias: bool,
    init: Init,
}

impl Default for Conv {
    fn default() -> Conv {
        Conv {
            stride: 1.into(),
            padding: 0.into(),
            dilation: 1.into(),
            groups: 1,
            output_padding: 0.into(),
            bias: true,
            init: Init::GlorotUniform,
        }
    }
}

/// Choices for one number of spatial dimensions.
struct Sizes {
    stride: Vec<usize>,
    padding: Vec<(usize, usize)>,
    dilation: Vec<usize>,
}

impl Conv {
    /// Stride 1, no padding, no dilation, one group, with a bias.
    pub fn new() -> Conv {
        Conv::default()
    }

    /// Steps between positions of the kernel: one number, or one for each spatial axis.
    pub fn stride(self, stride: impl Into<PerAxis>) -> Conv {
        Conv { stride: stride.into(), ..self }
    }

    /// Zeros around: a number, one for each spatial axis, pairs of before and after, or [`Padding::Same`].
    pub fn padding(self, padding: impl Into<Padding>) -> Conv {
        Conv { padding: padding.into(), ..self }
    }

    /// Steps between neighbours of the kernel.
    pub fn dilation(self, dilation: impl Into<PerAxis>) -> Conv {
        Conv { dilation: dilation.into(), ..self }
    }

    /// Groups of channels that do not see each other.
    pub fn groups(self, groups: usize) -> Conv {
        Conv { groups, ..self }
    }

    /// Of a transposed convolution: so many more positions at the end of each spatial axis, below stride or dilation.
    pub fn output_padding(self, output_padding: impl Into<PerAxis>) -> Conv {
        Conv { output_padding: output_padding.into(), ..self }
    }

    /// With or without a bias.
    pub fn bias(self, bias: bool) -> Conv {
        Conv { bias, ..self }
    }

    /// How the weight starts, [`Init::GlorotUniform`] if not said. Fans count the elements that meet in a result, and that
    /// one meets.
    pub fn init(self, init: Init) -> Conv {
        Conv { init, ..self }
    }

    /// The numbers for spatial extents and a kernel's.
    fn sizes(&self, x: &[usize], kernel: &[usize]) -> Result<Sizes, String> {
        let stride = self.stride.over("stride", x.len(), 1)?;
        let dilation = self.dilation.over("dilation", x.len(), 1)?;
        let padding = self.padding.over(x, &spans(kernel, &dilation)?, &stride)?;
        Ok(Sizes { stride, padding, dilation })
    }
}

macro_rules! convolutions {
    ($($conv:ident $transposed:ident $rank:literal $axes:literal;)*) => {
        /// Convolutional layers by their number of spatial dimensions.
        impl<'g> Value<'g> {$(
            #[doc = concat!("A layer that convolves `[N,C,", $axes, "]`: see [`Value::conv`].")]
            #[track_caller]
            pub fn $conv(self, features: usize, kernel: impl Into<PerAxis>, conv: Conv) -> Value<'g> {
                self.conv_layer(stringify!($conv), Some($rank), features, kernel.into(), conv)
            }

            #[doc = concat!("A layer that convolves `[N,C,", $axes, "]` transposed: see [`Value::conv_transpose`].")]
            #[track_caller]
            pub fn $transposed(self, features: usize, kernel: impl Into<PerAxis>, conv: Conv) -> Value<'g> {
                self.conv_layer(stringify!($transposed), Some($rank), features, kernel.into(), conv)
            }
        )*}
    };
}

convolutions! {
    conv1d conv_transpose1d 1 "L";
    conv2d conv_transpose2d 2 "H,W";
    conv3d conv_transpose3d 3 "D,H,W";
}

/// Which way a convolution goes.
enum Direction {
    Forward,
    Transposed,
}

impl<'g> Value<'g> {
    /// A convolutional layer over the axes behind the second: `[N,C,spatial…]` gives `[N,features,spatial…]`, with
    /// `out[n,o,p] = bias[o] + Σ_{c,k} x[n,c,p·stride + k·dilation − padding]·weight[o,c,k]` (a cross-correlation), and
    /// ⌊(extent + padding − dilation·(kernel − 1) − 1)/stride⌋ + 1 positions along an axis.
    ///
    /// Parameters: `conv0/weight` `[features,C/groups,kernel…]` and `conv0/bias` `[features]`, laid out as PyTorch's;
    /// [`Value::conv1d`] and its like name them `conv1d0/…`.
    #[track_caller]
    pub fn conv(self, features: usize, kernel: impl Into<PerAxis>, conv: Conv) -> Value<'g> {
        self.conv_layer("conv", None, features, kernel.into(), conv)
    }

    /// A transposed convolutional layer, which is to [`Value::conv`] what its gradient is: an extent n becomes
    /// (n − 1)·stride − padding + dilation·(kernel − 1) + 1 + output padding. Also known as deconvolution.
    ///
    /// Parameters: `conv_transpose0/weight` `[C,features/groups,kernel…]` and `conv_transpose0/bias` `[features]`, laid out
    /// as PyTorch's.
    ///
    /// ```
    /// use bespoke_nn::{Conv, F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [2, 8, 16, 16]);
    /// let y = x.conv_transpose2d(3, 3, Conv::new().stride(2).padding(1).output_padding(1));
    /// assert_eq!(y.ty().to_string(), "f32[2,3,32,32]");
    /// ```
    #[track_caller]
    pub fn conv_transpose(self, features: usize, kernel: impl Into<PerAxis>, conv: Conv) -> Value<'g> {
        self.conv_layer("conv_transpose", None, features, kernel.into(), conv)
    }

    /// A convolution of each channel by itself: `multiplier` results a channel, `[N,C·multiplier,spatial…]`. The parameters
    /// are those of a [`Value::conv`] of C groups, named `depthwise0/conv0/…`.
    #[track_caller]
    pub fn depthwise_conv(self, multiplier: usize, kernel: impl Into<PerAxis>, conv: Conv) -> Value<'g> {
        let Some(&channels) = self.shape().get(1).filter(|_| self.id.is_some()) else {
            return self.conv_layer("conv", None, multiplier, kernel.into(), conv);
        };
        let Some(features) = channels.checked_mul(multiplier) else {
            return self.graph.refuse(format!("depthwise_conv: {multiplier} results of {channels} channels"));
        };
        self.graph.push_scope("depthwise", true);
        let y = self.conv_layer("conv", None, features, kernel.into(), conv.groups(channels.max(1)));
        self.graph.pop_scope();
        y
    }

    /// A depthwise convolution, then one over single positions (Chollet 2017): parameters `separable0/conv0/weight`
    /// `[C,1,kernel…]`, and `separable0/conv1/weight` `[features,C,1…]` with the bias, if any.
    ///
    /// ```
    /// use bespoke_nn::{Conv, F32, Graph};
    ///
    /// let g = Graph::new();
    /// let x = g.input("x", F32, [2, 8, 16, 16]);
    /// let y = x.separable_conv(32, 3, Conv::new().padding(1));
    /// assert_eq!(y.ty().to_string(), "f32[2,32,16,16]");
    /// ```
    #[track_caller]
    pub fn separable_conv(self, features: usize, kernel: impl Into<PerAxis>, conv: Conv) -> Value<'g> {
        let channels = self.shape().get(1).copied().unwrap_or(1).max(1);
        let point = Conv::new().bias(conv.bias).init(conv.init);
        self.graph.push_scope("separable", true);
        let depthwise = conv.groups(channels).bias(false);
        let y = self.conv_layer("conv", None, channels, kernel.into(), depthwise);
        let y = y.conv_layer("conv", None, features, 1.into(), point);
        self.graph.pop_scope();
        y
    }

    /// The convolution of `[N,C,spatial…]` by a given weight `[O,C/groups,kernel…]`, without bias.
    #[track_caller]
    pub fn convolve(self, weight: Value<'g>, conv: &Conv) -> Value<'g> {
        self.convolve_as("convolve", &Direction::Forward, weight, conv)
    }

    /// The transposed convolution of `[N,C,spatial…]` by a given weight `[C,O/groups,kernel…]`, without bias.
    #[track_caller]
    pub fn convolve_transposed(self, weight: Value<'g>, conv: &Conv) -> Value<'g> {
        self.convolve_as("convolve_transposed", &Direction::Transposed, weight, conv)
    }

    #[track_caller]
    fn conv_layer(
        self,
        kind: &'static str,
        rank: Option<usize>,
        features: usize,
        kernel: PerAxis,
        conv: Conv,
    ) -> Value<'g> {
        if !self.floats(kind) {
            return self.spoiled();
        }
        let (g, ty) = (self.graph, self.ty());
        let spatial = ty.rank().saturating_sub(2);
        if spatial == 0 || rank.is_some_and(|r| r != spatial) {
            let expected =
                rank.map_or("at least one spatial axis".to_owned(), |r| format!("{r} spatial axes"));
            return g.refuse(format!("{kind}: expected [N,C,spatial…] with {expected}, got {ty}"));
        }
        let kernel = match kernel.over("kernel", spatial, 1) {
            Ok(kernel) => kernel,
            Err(why) => return g.refuse(format!("{kind}: {why}")),
        };
        let (channels, groups) = (ty.shape[1], conv.groups);
        if groups == 0
            || !channels.is_multiple_of(groups)
            || !features.is_multiple_of(groups)
            || features == 0
        {
            return g.refuse(format!(
                "{kind}: {groups} groups do not divide {channels} channels and {features} features, of {ty}"
            ));
        }
        let direction =
            if kind.starts_with("conv_transpose") { Direction::Transposed } else { Direction::Forward };
        let dims = match direction {
            Direction::Forward => [&[features, channels / groups], &kernel[..]].concat(),
            Direction::Transposed => [&[channels, features / groups], &kernel[..]].concat(),
        };
        let window: usize = kernel.iter().fold(1, |a: usize, &k| a.saturating_mul(k));
        let fans = [channels / groups, features / groups].map(|c| c.saturating_mul(window));
        let name = g.push_scope(kind, true);
        let weight = g.parameter("weight", ty.dtype, dims, conv.init.with_fans(fans[0], fans[1]));
        let mut y = self.convolve_as(kind, &direction, weight, &conv);
        if conv.bias {
            let bias = g.parameter("bias", ty.dtype, [features], Init::Constant(0.0));
            y = y + bias.reshape([&[features], &vec![1; spatial][..]].concat());
        }
        g.end_layer(name, y)
    }

    #[track_caller]
    fn convolve_as(self, what: &str, direction: &Direction, weight: Value<'g>, conv: &Conv) -> Value<'g> {
        if self.id.is_none() || weight.id.is_none() {
            return self.spoiled();
        }
        let axis = usize::from(matches!(direction, Direction::Forward));
        if axis == 1 && conv.output_padding != 0.into() {
            return self.graph.refuse(format!("{what}: only transposed convolutions have output padding"));
        }
        let (x, kernel) = (self.shape(), weight.shape());
        let channels = |k: usize| match direction {
            Direction::Forward => k.checked_mul(conv.groups),
            Direction::Transposed => Some(k),
        };
        if x.rank() < 3
            || kernel.rank() != x.rank()
            || conv.groups == 0
            || kernel[2..].contains(&0)
            || channels(kernel[axis]) != Some(x[1])
            || !kernel[0].is_multiple_of(conv.groups)
        {
            let layout = match direction {
                Direction::Forward => "[O,C/groups,kernel…]",
                Direction::Transposed => "[C,O/groups,kernel…]",
            };
            let (x, kernel) = (self.ty(), weight.ty());
            return self.graph.refuse(format!(
                "{what}: expected [N,C,spatial…] and {layout} with {} groups, got {x} and {kernel}",
                conv.groups
            ));
        }
        let sizes = match conv.sizes(&x[2..], &kernel[2..]) {
            Ok(sizes) => sizes,
            Err(why) => return self.graph.refuse(format!("{what}: {why}")),
        };
        match direction {
            Direction::Forward => {
                for a in 0..sizes.stride.len() {
                    let (low, high) = sizes.padding[a];
                    let (padded, span) = (x[a + 2] + low + high, (kernel[a + 2] - 1) * sizes.dilation[a] + 1);
                    if padded < span {
                        return self.graph.refuse(format!(
                            "{what}: a kernel that reaches over {span} does not fit into {padded} along axis {} of {}",
                            a + 2,
                            self.ty()
                        ));
                    }
                }
                let convolution = op::Convolution {
                    padding: sizes.padding.iter().map(|&(low, high)| (low as i64, high as i64)).collect(),
                    input_dilation: vec![1; sizes.stride.len()],
                    stride: sizes.stride,
                    kernel_dilation: sizes.dilation,
                    groups: conv.groups,
                };
                self.graph.apply(what, convolution.into(), &[self, weight])
            }
            Direction::Transposed => self.transposed(what, weight, conv, sizes),
        }
    }

    /// The operand spread by the stride, met by the reversed kernel.
    #[track_caller]
    fn transposed(self, what: &str, weight: Value<'g>, conv: &Conv, sizes: Sizes) -> Value<'g> {
        let (x, kernel, spatial) = (self.shape(), weight.shape(), sizes.stride.len());
        if conv.padding == Padding::Same {
            return self.graph.refuse(format!("{what}: expected padding by numbers, got `Same`"));
        }
        let more = match conv.output_padding.over("output padding", spatial, 0) {
            Ok(more) => more,
            Err(why) => return self.graph.refuse(format!("{what}: {why}")),
        };
        let mut padding = vec![];
        for a in 0..spatial {
            let reach = (kernel[a + 2] - 1) * sizes.dilation[a];
            let (low, high) = sizes.padding[a];
            let whole = x[a + 2].saturating_sub(1).saturating_mul(sizes.stride[a]).saturating_add(reach + 1);
            if more[a] >= sizes.stride[a].max(sizes.dilation[a])
                || whole.saturating_add(more[a]) <= low + high
            {
                return self.graph.refuse(format!(
                    "{what}: along axis {} of {}, a padding of {low} and {high} and an output padding of {} do not fit {whole} positions and stride {}",
                    a + 2,
                    self.ty(),
                    more[a],
                    sizes.stride[a]
                ));
            }
            let reach = reach as i64;
            padding.push((reach - low as i64, reach - high as i64 + more[a] as i64));
        }
        let groups = conv.groups;
        let (p, q) = (kernel[0] / groups, kernel[1]);
        let rest: usize = kernel[2..].iter().product();
        let swapped = weight.reshape([groups, p, q, rest]).transpose(&[0, 2, 1, 3]);
        let swapped = swapped.reshape([&[groups * q, p], &kernel[2..]].concat());
        let axes: Vec<isize> = (2..kernel.rank() as isize).collect();
        let convolution = op::Convolution {
            padding,
            stride: vec![1; spatial],
            input_dilation: sizes.stride,
            kernel_dilation: sizes.dilation,
            groups,
        };
        self.graph.apply(what, convolution.into(), &[self, swapped.reverse(&axes)])
    }
}
