//! Normalisation: values brought to mean 0 and variance 1, over different axes.

use crate::{Graph, Init, Value};

/// Choices for normalisation: by default ε = 10⁻⁵, with a weight and a bias for each feature.
///
/// ```
/// use bespoke_nn::{F32, Graph, Norm};
///
/// let g = Graph::new();
/// let x = g.input("x", F32, [8, 6, 5, 5]);
/// let y = x.batch_norm(Norm::new()).group_norm(3, Norm::new().eps(1e-6)).instance_norm(Norm::new().affine(false));
/// assert_eq!(y.shape(), x.shape());
/// assert!(g.finish().is_ok());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Norm {
    eps: f64,
    momentum: Option<f64>,
    affine: bool,
}

impl Default for Norm {
    fn default() -> Norm {
        Norm { eps: 1e-5, momentum: None, affine: true }
    }
}

impl Norm {
    /// ε = 10⁻⁵, with weight and bias; for batch norm, momentum 0.1.
    pub fn new() -> Norm {
        Norm::default()
    }

    /// What is added to variances, so that their root can be divided by: 0 or above.
    pub fn eps(self, eps: f64) -> Norm {
        Norm { eps, ..self }
    }

    /// Of batch norm: how much of its way to a batch's statistics the running ones go at each step, from 0 to 1 (PyTorch's
    /// convention).
    pub fn momentum(self, momentum: f64) -> Norm {
        Norm { momentum: Some(momentum), ..self }
    }

    /// With a weight, at first 1, and a bias, at first 0, for each feature?
    pub fn affine(self, affine: bool) -> Norm {
        Norm { affine, ..self }
    }

    /// Can this be had of a norm that has running statistics, or none? If not, that is kept as an error.
    #[track_caller]
    fn holds(&self, what: &str, g: &Graph, running: bool) -> bool {
        let problem = match self.momentum {
            _ if !(0.0..f64::INFINITY).contains(&self.eps) => {
                format!("expected an ε of 0 or above, got {}", self.eps)
            }
            Some(momentum) if !running => format!("only batch_norm has a momentum, got {momentum}"),
            Some(momentum) if !(0.0..=1.0).contains(&momentum) => {
                format!("expected a momentum of 0 to 1, got {momentum}")
            }
            _ => return true,
        };
        g.refuse(format!("{what}: {problem}"));
        false
    }
}

impl<'g> Value<'g> {
    /// Batch normalisation of `[N,C,…]` (Ioffe & Szegedy 2015): each feature (axis 1) is normalised over all others. In
    /// training by the batch's mean and biased variance, which the running ones follow (the variance unbiased, as in
    /// PyTorch); in a query by the running ones. Parameters `batch_norm<n>/{weight,bias,running_mean,running_var}` of `[C]`.
    /// See [`Graph::training`](crate::Graph::training).
    #[track_caller]
    pub fn batch_norm(self, options: Norm) -> Value<'g> {
        let Some(features) = self.feature_axis("batch_norm", 2) else { return self.spoiled() };
        let (g, ty) = (self.graph, self.ty());
        if !options.holds("batch_norm", g, true) {
            return self.spoiled();
        }
        let name = g.push_scope("batch_norm", true);
        let mean = g.buffer("running_mean", ty.dtype, [features], Init::Constant(0.0));
        let variance = g.buffer("running_var", ty.dtype, [features], Init::Constant(1.0));
        let axes: Vec<isize> = (0..ty.rank() as isize).filter(|&a| a != 1).collect();
        let count = (ty.elements() / features.max(1)) as f64;
        let training = g.training();
        let batch_mean = self.mean_axes(&axes);
        let batch_variance = self.variance(&axes);
        let momentum = options.momentum.unwrap_or(0.1);
        // A loop, not a closure, which would hide the caller's line.
        for (running, batch) in
            [(mean, batch_mean), (variance, batch_variance * (count / (count - 1.0).max(1.0)))]
        {
            g.advance(running, |latest| {
                let next = latest * (1.0 - momentum) + batch.stop_gradient() * momentum;
                training.select(next, latest)
            });
        }
        let mean = training.select(batch_mean, mean);
        let variance = training.select(batch_variance, variance);
        let y = (self - mean.along(self, 1)) * (variance + options.eps).rsqrt().along(self, 1);
        let y = y.affine(options, &[features], 1);
        g.end_layer(name, y)
    }

    /// Layer normalisation over the last `axes` axes (Ba, Kiros & Hinton 2016), with parameters
    /// `layer_norm<n>/{weight,bias}` of their extents.
    #[track_caller]
    pub fn layer_norm(self, axes: usize, options: Norm) -> Value<'g> {
        if self.id.is_none() || !self.floats("layer_norm") {
            return self.spoiled();
        }
        let ty = self.ty();
        if axes == 0 || axes > ty.rank() {
            return self
                .graph
                .refuse(format!("layer_norm: expected 1 to {} axes of {ty}, got {axes}", ty.rank()));
        }
        if !options.holds("layer_norm", self.graph, false) {
            return self.spoiled();
        }
        let name = self.graph.push_scope("layer_norm", true);
        let over: Vec<isize> = (1..=axes as isize).map(|a| -a).collect();
        let first = ty.rank() - axes;
        let y = self.standardized(&over, options.eps).affine(options, &ty.shape[first..], first);
        self.graph.end_layer(name, y)
    }

    /// Group normalisation of `[N,C,…]` (Wu & He 2018): the features are split into groups, each normalised by itself for
    /// each example. Parameters `group_norm<n>/{weight,bias}` of `[C]`.
    #[track_caller]
    pub fn group_norm(self, groups: usize, options: Norm) -> Value<'g> {
        self.in_groups("group_norm", Some(groups), options)
    }

    /// Instance normalisation of `[N,C,…]` (Ulyanov, Vedaldi & Lempitsky 2016): each feature of each example by itself.
    /// Parameters `instance_norm<n>/{weight,bias}` of `[C]`.
    #[track_caller]
    pub fn instance_norm(self, options: Norm) -> Value<'g> {
        self.in_groups("instance_norm", None, options)
    }

    /// Local response normalisation of `[N,C,…]` over `size` neighbouring features (Krizhevsky, Sutskever & Hinton 2012, as
    /// PyTorch has it): x / (k + α/size · Σ x²)^β. AlexNet has size 5, α = 10⁻⁴, β = 0.75, k = 2 (with α not divided).
    #[track_caller]
    pub fn local_response_norm(self, size: usize, alpha: f64, beta: f64, k: f64) -> Value<'g> {
        if self.feature_axis("local_response_norm", 2).is_none() {
            return self.spoiled();
        }
        if size == 0 {
            return self.graph.refuse("local_response_norm: expected a size of at least 1, got 0".to_owned());
        }
        if [alpha, beta, k].iter().any(|x| !(0.0..f64::INFINITY).contains(x)) {
            return self.graph.refuse(format!(
                "local_response_norm: expected α, β and k of 0 or above, got {alpha}, {beta} and {k}"
            ));
        }
        let mut extent = vec![1; self.shape().rank() - 1];
        extent[0] = size;
        let mut windows = bespoke_graph::Windows::new(&extent, &vec![1; extent.len()]);
        windows.padding[0] = (size / 2, (size - 1) / 2);
        let sum = bespoke_graph::op::WindowReduce { combine: bespoke_loops::Combine::Sum, windows };
        let sums = self.graph.apply("local_response_norm", sum.into(), &[self * self]);
        self / (sums * (alpha / size as f64) + k).pow(beta)
    }

    /// The biased variance over axes, which vanish.
    #[track_caller]
    pub fn variance(self, axes: &[isize]) -> Value<'g> {
        let centred = self - self.mean_keep(axes);
        (centred * centred).mean_axes(axes)
    }

    /// (x − mean) / √(variance + ε) over axes, for ε of 0 or above.
    #[track_caller]
    pub fn standardized(self, axes: &[isize], eps: f64) -> Value<'g> {
        if !Norm::new().eps(eps).holds("standardized", self.graph, false) {
            return self.spoiled();
        }
        let centred = self - self.mean_keep(axes);
        centred * ((centred * centred).mean_keep(axes) + eps).rsqrt()
    }

    #[track_caller]
    fn in_groups(self, what: &str, groups: Option<usize>, options: Norm) -> Value<'g> {
        let Some(features) = self.feature_axis(what, 2) else { return self.spoiled() };
        let (g, shape) = (self.graph, self.shape());
        if !options.holds(what, g, false) {
            return self.spoiled();
        }
        let groups = groups.unwrap_or(features);
        if groups == 0 || !features.is_multiple_of(groups) {
            return g
                .refuse(format!("{what}: expected groups that divide {features} features, got {groups}"));
        }
        let name = g.push_scope(what, true);
        let each = features / groups * shape[2..].iter().product::<usize>();
        let grouped = self.reshape([shape[0], groups, each]);
        let y = grouped.standardized(&[-1], options.eps).reshape(shape).affine(options, &[features], 1);
        g.end_layer(name, y)
    }

    /// weight·x + bias, with parameters of these extents along the axes from `axis` on.
    #[track_caller]
    fn affine(self, options: Norm, extents: &[usize], axis: usize) -> Value<'g> {
        if !options.affine {
            return self;
        }
        let (g, dtype) = (self.graph, self.ty().dtype);
        let weight = g.parameter("weight", dtype, extents, Init::Constant(1.0));
        let bias = g.parameter("bias", dtype, extents, Init::Constant(0.0));
        self * weight.along(self, axis) + bias.along(self, axis)
    }
}
