use bespoke_nn::{F32, Graph};
use bespoke_zoo::{Options, conv_autoencoder::ConvAutoencoder};

use crate::{parameters, parameters_of, small, sound_and_learns, steps, waves};

#[test]
fn images_and_volumes_are_learned() {
    let [image, volume] = [waves([8, 2, 8, 8], 8), waves([8, 2, 8, 8, 8], 8)];
    for (name, input, value) in
        [("conv-autoencoder", "image", &image), ("conv-autoencoder-3d", "volume", &volume)]
    {
        let error: Vec<f64> =
            steps(name, &small(name), &[(input, value)], 80).iter().map(|s| s["error"]).collect();
        assert!(error[79] < 0.6 * error[0], "{name}: {error:?}");
        sound_and_learns(name, &small(name), &[(input, value)], &[input], (80, 0.95));
        let odd = crate::architecture(name).model_with(&Options { size: 10, ..small(name) }).err().unwrap();
        assert!(odd.to_string().contains("expected extents that 4 divides, got f32[8,2,10,10"), "{odd}");
    }
}

#[test]
fn parameters_are_those_of_the_layers() {
    let count = |window: usize| {
        let layer = |i: usize, o: usize| i * o * window + o;
        layer(1, 16) + layer(16, 8) + layer(8, 16) + layer(16, 1)
    };
    assert_eq!(parameters_of("conv-autoencoder"), count(9));
    assert_eq!(parameters_of("conv-autoencoder-3d"), count(27));
    let signal = parameters(|g| {
        g.input("signal", F32, [1, 1, 12]).apply(&ConvAutoencoder { features: vec![16, 8] });
    });
    assert_eq!(signal, count(3));
}

#[test]
fn codes_are_smaller_and_images_come_back_in_their_size() {
    let g = Graph::new();
    let image = g.input("image", F32, [2, 1, 28, 28]);
    let model = ConvAutoencoder { features: vec![16, 8] };
    let code = model.encode(image);
    assert_eq!(code.ty().to_string(), "f32[2,8,7,7]");
    assert_eq!(model.decode(code, 1).shape(), image.shape());
    assert!(g.finish().is_ok());
}
