//! A scene from pictures of it (L39; Eslami et al., *Neural scene representation and rendering*, 2018), in small: each picture is
//! encoded with where it was taken from, the sum of the encodings represents the scene, and from it and another place a decoder draws
//! what is seen from there. The published decoder draws step by step, with latent numbers; this one draws at once.

use bespoke_nn::{Adam, Conv, F32, Graph, Init, Value};

use crate::{Architecture, Options, Parts, Task};

/// Numbers of a view: the cosine and sine of the direction that the scene is seen from.
pub const VIEW: usize = 2;

/// For scenes of `classes` pictures each: `images` f32 `[batch,classes,channels,size,size]` within [0, 1], seen from `views` f32
/// `[batch,classes,2]`, then `query` f32 `[batch,2]`, from where `image` f32 `[batch,channels,size,size]` is to be seen. 4 divides
/// `size`. A query needs no `image`.
pub const GQN: Architecture = Architecture {
    name: "gqn",
    about: "scene representation: the sum of 4 encoded pictures of 16x16, and what is seen from elsewhere",
    task: Task::Other,
    defaults: Options { batch: 32, size: 16, channels: 3, classes: 4, width: 1.0 },
    small: Options { batch: 16, size: 8, channels: 2, classes: 3, width: 0.5 },
    build,
    optimizer: || Box::new(Adam::new(1e-3)),
};

/// The two parts. Parameters: `representation/conv0/…` to `conv2/…`; `decoder/scene/…`, `decoder/conv_transpose0/…` and so on.
#[derive(Clone, Copy, Debug)]
pub struct SceneNet {
    /// Features of the encoder's convolutions; the last are the representation's.
    pub features: [usize; 3],
}

impl SceneNet {
    /// The representations `[batch,features,size/4,size/4]` of scenes: pictures `[batch,pictures,channels,size,size]`, seen from views
    /// `[batch,pictures,n]`. The order of pictures does not matter.
    #[track_caller]
    pub fn represent<'g>(&self, images: Value<'g>, views: Value<'g>) -> Value<'g> {
        let (g, from) = (images.graph(), views.shape());
        let (&[batch, pictures, channels, height, width], &[.., numbers]) = (&images.shape()[..], &from[..])
        else {
            let (images, views) = (images.ty(), views.ty());
            return g.mistake(format!(
                "gqn: expected images [batch,pictures,channels,size,size] and views [batch,pictures,n], got {images} and {views}"
            ));
        };
        if !height.is_multiple_of(4) || !width.is_multiple_of(4) {
            return g.mistake(format!("gqn: expected a size that 4 divides, got {}", images.ty()));
        }
        let rows = batch.saturating_mul(pictures);
        let all = images.reshape([rows, channels, height, width]);
        // Each number of a view is a feature that is the same everywhere.
        let planes = views.reshape([rows, numbers, 1, 1]).broadcast_to([rows, numbers, height, width]);
        let same = Conv::new().padding(1).init(Init::HeNormal);
        let halved = same.clone().stride(2);
        let encoded = g.scope("representation", || {
            let x = all.concatenate(&[planes], 1).conv2d(self.features[0], 3, halved.clone()).relu();
            x.conv2d(self.features[1], 3, halved).relu().conv2d(self.features[2], 3, same)
        });
        encoded.reshape([batch, pictures, self.features[2], height / 4, width / 4]).sum_axes(&[1])
    }

    /// The logits of the pixels `[batch,channels,size,size]` that are seen of represented scenes from views `[batch,n]`.
    #[track_caller]
    pub fn decode<'g>(&self, scene: Value<'g>, view: Value<'g>, channels: usize) -> Value<'g> {
        let g = scene.graph();
        let (&[batch, features, height, width], Some(&numbers)) = (&scene.shape()[..], view.shape().get(1))
        else {
            let (scene, view) = (scene.ty(), view.ty());
            return g.mistake(format!(
                "gqn: expected scenes [batch,features,height,width] and views [batch,n], got {scene} and {view}"
            ));
        };
        let units = features.saturating_mul(height).saturating_mul(width);
        let doubled = Conv::new().stride(2).padding(1).init(Init::HeNormal);
        let [half, quarter, _] = self.features;
        g.scope("decoder", || {
            // Who looks from elsewhere sees everything elsewhere: all places are mixed.
            let both = scene.flatten().concatenate(&[view.reshape([batch, numbers])], 1);
            let x = g.named("scene", || both.dense_with(units, Init::HeNormal, true)).relu();
            let x = x.reshape([batch, features, height, width]);
            let x = x.conv_transpose2d(quarter, 4, doubled.clone()).relu();
            let x = x.conv_transpose2d(half, 4, doubled).relu();
            x.conv2d(channels, 3, Conv::new().padding(1))
        })
    }
}

fn build<'g>(g: &'g Graph, options: &Options) -> Parts<'g> {
    let Options { batch, size, channels, classes: pictures, .. } = *options;
    let images = g.input("images", F32, [batch, pictures, channels, size, size]);
    let views = g.input("views", F32, [batch, pictures, VIEW]);
    let query = g.input("query", F32, [batch, VIEW]);
    let image = g.input("image", F32, [batch, channels, size, size]);
    let model = SceneNet { features: [16, 32, 32].map(|n| options.features(n)) };
    let logits = model.decode(model.represent(images, views), query, channels);
    let seen = logits.sigmoid();
    Parts::new(seen, logits.binary_cross_entropy(image).mean())
        .metric("error", seen.squared_error(image).mean_axes(&[1, 2, 3]))
}
