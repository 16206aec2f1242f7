use bespoke_nn::{F32, Graph};
use bespoke_tensor::Tensor;
use bespoke_zoo::gqn::{SceneNet, VIEW};

use crate::{floats, parameters_of, small, sound_and_learns, steps, uniform};

const SIZE: usize = 8;
const PICTURES: usize = 3;

/// The direction that a picture of a scene is taken from; behind the others' is the query's.
fn direction(scene: usize, picture: usize) -> f64 {
    (uniform(scene * 7 + picture, 61) + picture as f64) * std::f64::consts::TAU / 4.0
}

/// A pixel of a scene, two discs of a colour each on a plane, seen along a direction: each is drawn where its shadow falls, the
/// nearer before the other.
fn pixel(scene: usize, direction: f64, channel: usize, x: usize, y: usize) -> f64 {
    let (cos, sin) = (direction.cos(), direction.sin());
    let mut discs: Vec<(f64, f64, f64)> = (0..2)
        .map(|d| {
            let [px, py, colour] = [0, 1, 2].map(|k| uniform(scene * 9 + d * 3 + k, 62) * 2.0 - 1.0);
            let shade = if (channel == 0) == (colour > 0.0) { 0.9 } else { 0.3 };
            (px * sin - py * cos, px * cos + py * sin, shade)
        })
        .collect();
    discs.sort_by(|a, b| b.1.total_cmp(&a.1));
    let [u, v] = [x, y].map(|p| (p as f64 + 0.5) / SIZE as f64 * 3.0 - 1.5);
    discs.iter().find(|d| (u - d.0).powi(2) + v * v < 0.25).map_or(0.05, |d| d.2)
}

/// Pictures, their views, the query's view, and what is seen from there.
fn scenes(first: usize, count: usize) -> [Tensor; 4] {
    let pixels = 2 * SIZE * SIZE;
    let picture = |scene: usize, picture: usize, i: usize| {
        let along = direction(scene, picture);
        pixel(scene, along, i / (SIZE * SIZE), i % SIZE, i / SIZE % SIZE)
    };
    let view = |scene: usize, picture: usize, i: usize| {
        let along = direction(scene, picture);
        if i == 0 { along.cos() } else { along.sin() }
    };
    [
        floats([count, PICTURES, 2, SIZE, SIZE], |i| {
            picture(first + i / pixels / PICTURES, i / pixels % PICTURES, i % pixels)
        }),
        floats([count, PICTURES, VIEW], |i| view(first + i / VIEW / PICTURES, i / VIEW % PICTURES, i % VIEW)),
        floats([count, VIEW], |i| view(first + i / VIEW, PICTURES, i % VIEW)),
        floats([count, 2, SIZE, SIZE], |i| picture(first + i / pixels, PICTURES, i % pixels)),
    ]
}

#[test]
fn it_learns() {
    let [images, views, query, image] = scenes(0, 16);
    let inputs = [("images", &images), ("views", &views), ("query", &query), ("image", &image)];
    sound_and_learns("gqn", &small("gqn"), &inputs, &["images", "views", "query"], (80, 0.8));
    let error: Vec<f64> = steps("gqn", &small("gqn"), &inputs, 150).iter().map(|s| s["error"]).collect();
    assert!(error[149] < 0.3 * error[0], "{error:?}");
}

#[test]
fn parameters_are_those_of_the_layers() {
    let conv = |i: usize, o: usize, window: usize| i * o * window + o;
    let representation = conv(5, 16, 9) + conv(16, 32, 9) + conv(32, 32, 9);
    let scene = (32 * 16 + 2) * 32 * 16 + 32 * 16;
    let decoder = scene + conv(32, 32, 16) + conv(32, 16, 16) + conv(16, 3, 9);
    assert_eq!(parameters_of("gqn"), representation + decoder);
}

#[test]
fn the_order_of_pictures_does_not_matter_but_their_views_do() {
    let scene = |order: [usize; 3], views_order: [usize; 3]| {
        let g = Graph::new();
        let images = g.input("images", F32, [2, PICTURES, 2, SIZE, SIZE]);
        let views = g.input("views", F32, [2, PICTURES, VIEW]);
        let pick = |v, order: [usize; 3]| {
            let order = Tensor::from_vec([3], order.map(|i| i as i32).to_vec()).unwrap();
            bespoke_nn::Value::gather(v, g.tensor(&order), 1)
        };
        let model = SceneNet { features: [4, 6, 5] };
        g.output("scene", model.represent(pick(images, order), pick(views, views_order)));
        let [images, views, ..] = scenes(3, 2);
        let outputs = g.compile().unwrap().run(&[("images", &images), ("views", &views)]).unwrap();
        outputs.get("scene").unwrap().to_vec::<f32>().unwrap()
    };
    let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
    let plain = scene([0, 1, 2], [0, 1, 2]);
    assert!(near(&plain, &scene([2, 0, 1], [2, 0, 1])));
    assert!(!near(&plain, &scene([0, 1, 2], [2, 0, 1])));
}
