//! FractalNet (Larsson, Maire & Shakhnarovich, *FractalNet: ultra-deep neural networks without residuals*, 2017): paths of
//! different depth side by side, with drop-path.

use bespoke_nn::{Conv, F32, Init, Module, Pool, Sgd, Value};

use crate::{
    Architecture, Options, Parts, Task,
    vision::{self, batch_norm, channels},
};

/// Five blocks of three columns: 20 layers at the deepest. The 38.6 M parameters of the paper's table are met with a 1×1
/// convolution in front of blocks that brings the features to the block's number; without them it would be 33.7 M.
pub const FRACTALNET: Architecture = Architecture {
    name: "fractalnet",
    about: "FractalNet-20 (Larsson et al. 2017): paths of 5, 10 and 20 convolutions that meet, with drop-path",
    task: Task::Images,
    defaults: Options { batch: 100, size: 32, channels: 3, classes: 10, width: 1.0 },
    small: Options { batch: 4, size: 32, channels: 3, classes: 10, width: 0.125 },
    build: |g, options| {
        let (image, label) = vision::inputs(g, options);
        let net = FractalNet {
            features: [64, 128, 256, 512, 512].map(|n| options.features(n)),
            columns: 3,
            doubling: true,
            dropout: [0.0, 0.1, 0.2, 0.3, 0.4],
            drop_path: 0.15,
            classes: options.classes,
        };
        Parts::classifier(image.apply(&net), label)
    },
    optimizer: || Box::new(Sgd::new(0.02).momentum(0.9)),
};

/// The network, for images of at least 32×32.
#[derive(Clone, Copy, Debug)]
pub struct FractalNet {
    /// Features of each block, behind which the size is halved: 64, 128, 256, 512, 512.
    pub features: [usize; 5],
    /// Columns, of which each has twice the convolutions of the one before it: 3, at most 8.
    pub columns: usize,
    /// Is there a 1×1 convolution in front of each block that changes the features, so that all others have as many inputs as features?
    pub doubling: bool,
    /// The probability with which the features of each block are dropped: 0 to 0.4.
    pub dropout: [f64; 5],
    /// The probability with which local drop-path drops an input of a join: 0.15.
    pub drop_path: f64,
    /// Classes to tell apart.
    pub classes: usize,
}

/// More would be 2⁸ convolutions a block.
const MOST_COLUMNS: usize = 8;

impl Module for FractalNet {
    #[track_caller]
    fn forward<'g>(&self, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        if !(1..=MOST_COLUMNS).contains(&self.columns) {
            return g
                .mistake(format!("fractalnet: expected 1 to {MOST_COLUMNS} columns, got {}", self.columns));
        }
        let mut h = vision::at_least("fractalnet", 32, x);
        let paths = Paths::new(h, self.columns, self.drop_path);
        for (i, (&features, &dropout)) in self.features.iter().zip(&self.dropout).enumerate() {
            h = g.scope(&format!("block{}", i + 1), || {
                let bare = Conv::new().bias(false);
                let x = match self.doubling && channels(h) != features {
                    true => g.named("doubling", || h.conv2d(features, 1, bare)),
                    false => h,
                };
                let mut block = Block { features, dropout, paths: &paths, done: vec![0; self.columns] };
                let ends = block.columns(0, x);
                // Each column is pooled by itself, as in the paper.
                let ends: Vec<Value<'g>> = ends.iter().map(|h| h.max_pool2d(2, Pool::new())).collect();
                paths.join(&ends)
            });
        }
        let h = h.global_avg_pool();
        g.named("prediction", || h.dense(self.classes))
    }
}

/// A block while it is built.
struct Block<'a, 'g> {
    features: usize,
    dropout: f64,
    paths: &'a Paths<'g>,
    /// How many convolutions each column has so far.
    done: Vec<usize>,
}

impl<'g> Block<'_, 'g> {
    /// Where the columns from `first` on end: one convolution; beside it twice what the columns behind it are, with a join
    /// between.
    #[track_caller]
    fn columns(&mut self, first: usize, x: Value<'g>) -> Vec<Value<'g>> {
        let mut ends = vec![self.conv(first, x)];
        if first + 1 < self.done.len() {
            let middle = self.columns(first + 1, x);
            ends.extend(self.columns(first + 1, self.paths.join(&middle)));
        }
        ends
    }

    #[track_caller]
    fn conv(&mut self, column: usize, x: Value<'g>) -> Value<'g> {
        let g = x.graph();
        let name = format!("conv{column}_{}", self.done[column]);
        self.done[column] += 1;
        g.scope(&name, || {
            let conv = Conv::new().padding(1).bias(false).init(Init::GlorotUniform);
            let h = g.named("conv", || x.conv2d(self.features, 3, conv));
            batch_norm("bn", h.dropout(self.dropout)).relu()
        })
    }
}

/// Which paths are dropped in a step of training. Half of the examples go along one column through the whole network; of the
/// others, each join drops inputs by themselves, but not all.
struct Paths<'g> {
    columns: usize,
    drop: f64,
    /// Does the example go along one column? `[N,1,1,1]`.
    global: Value<'g>,
    /// Which one that is, as f32 `[N,1,1,1]`.
    column: Value<'g>,
}

impl<'g> Paths<'g> {
    #[track_caller]
    fn new(x: Value<'g>, columns: usize, drop: f64) -> Paths<'g> {
        let draw = || x.graph().random_uniform(F32, [x.shape().first().copied().unwrap_or(1), 1, 1, 1]);
        Paths { columns, drop, global: draw().lt(0.5), column: (draw() * columns as f64).floor() }
    }

    /// The mean of the ends of the last columns, in training of those that are not dropped.
    #[track_caller]
    fn join(&self, ends: &[Value<'g>]) -> Value<'g> {
        let (g, count) = (ends[0].graph(), ends.len());
        if count == 1 {
            return ends[0];
        }
        let first = self.columns - count;
        let draw = || g.random_uniform(F32, self.column.shape());
        let kept: Vec<Value<'g>> = ends.iter().map(|_| draw().ge(self.drop)).collect();
        let any = kept[1..].iter().fold(kept[0], |any, k| any.logical_or(*k));
        let spared = (draw() * count as f64).floor();
        // Where the one column ends before this join, what it gives is not used.
        let elsewhere = self.column.lt(first as f64);
        let weights: Vec<Value<'g>> = (0..count)
            .map(|i| {
                let local = any.select(kept[i], spared.eq(i as f64));
                let global = self.column.eq((first + i) as f64).logical_or(elsewhere);
                self.global.select(global, local).convert(F32)
            })
            .collect();
        let sum = |values: &[Value<'g>]| values[1..].iter().fold(values[0], |sum, x| sum + *x);
        let weighted: Vec<Value<'g>> = ends.iter().zip(&weights).map(|(x, w)| *x * *w).collect();
        g.training().select(sum(&weighted) / sum(&weights), sum(ends) * (1.0 / count as f64))
    }
}
