//! Logic from units with a threshold (L04): and, or and nor by hand; one unit that learns by the perceptron rule, and cannot learn
//! exclusive or; two layers that can. Draws where each says yes.
//!
//! `cargo run --release --example logic_units [folder]`

mod pictures;

use bespoke::{
    Error,
    nn::{F32, Graph, Module, Trainer, Value},
    prelude::data,
    tensor::Tensor,
    zoo::{
        self, Options,
        logic::{LogicUnit, exclusive_or},
    },
};
use image::RgbImage;

/// Pixels along a side of a picture, which shows −0.5 to 1.5.
const SIDE: usize = 240;

fn main() -> Result<(), Error> {
    let units = [("and", LogicUnit::and(2)), ("or", LogicUnit::or(2)), ("nor", LogicUnit::nor(2))];
    println!("by hand, at (0,0) (0,1) (1,0) (1,1):");
    let mut drawn = vec![];
    for (name, unit) in &units {
        drawn.push(by_hand(name, |x| unit.forward(x))?);
    }
    drawn.push(by_hand("xor of two layers", exclusive_or)?);
    pictures::save(&pictures::beside(&drawn), "logic_units.png")?;

    println!("learned:");
    let learned = [
        learned("perceptron", "and", [0.0, 0.0, 0.0, 1.0], 1, 20)?,
        learned("perceptron", "or", [0.0, 1.0, 1.0, 1.0], 1, 20)?,
        learned("perceptron", "xor", [0.0, 1.0, 1.0, 0.0], 1, 100)?,
        learned("xor", "xor", [0.0, 1.0, 1.0, 0.0], 4, 300)?,
    ];
    pictures::save(&pictures::beside(&learned), "logic_learned.png")?;
    Ok(())
}

/// All points of two bits.
fn corners() -> Result<Tensor, Error> {
    Ok(Tensor::from_vec([4, 2], vec![0.0f32, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0])?)
}

/// The points of a picture's pixels.
fn plane() -> Result<Tensor, Error> {
    let at = |pixel: usize| (pixel as f32 + 0.5) / SIDE as f32 * 2.0 - 0.5;
    let point = |i: usize| [at(i % SIDE), at(SIDE - 1 - i / SIDE)];
    Ok(Tensor::from_vec([SIDE * SIDE, 2], (0..SIDE * SIDE).flat_map(point).collect())?)
}

/// Prints the truth table of units and draws where they say yes.
fn by_hand(name: &str, f: impl for<'g> Fn(Value<'g>) -> Value<'g>) -> Result<RgbImage, Error> {
    let answers = |points: &Tensor| -> Result<Vec<f32>, Error> {
        let g = Graph::new();
        g.output("y", f(g.input("x", F32, points.shape())));
        Ok(g.compile()?.run(&[("x", points)])?.get("y").expect("named above").to_vec()?)
    };
    let table = answers(&corners()?)?;
    println!("  {name:<18} {table:?}");
    Ok(draw(&answers(&plane()?)?, &table))
}

/// Trains an architecture on a truth table, so many examples at a time in an order drawn for each epoch, says how well it does, and
/// draws where it said yes when it was best.
fn learned(
    name: &str,
    function: &str,
    table: [f32; 4],
    batch: usize,
    epochs: u64,
) -> Result<RgbImage, Error> {
    let architecture = zoo::find(name).expect("an architecture's name");
    let sized = |batch: usize| Options { batch, ..architecture.defaults };
    let query = |rows: usize| {
        let g = Graph::new();
        g.output("y", architecture.build(&g, &sized(rows)).output);
        g.compile()
    };
    let g = Graph::new();
    let loss = architecture.build(&g, &sized(batch)).loss;
    let mut training = Trainer::new(loss, architecture.optimizer()).compile()?;
    let (corners, mut at_corners, mut everywhere) = (corners()?, query(4)?, query(SIDE * SIDE)?);
    let (mut best, mut last) = (0, 0);
    for epoch in 0..epochs {
        for rows in data::permutation(4, 0, epoch).chunks(batch) {
            let points = rows.iter().flat_map(|row| [(row / 2) as f32, (row % 2) as f32]).collect();
            let targets = rows.iter().map(|&row| table[row]).collect();
            let (x, t) = (Tensor::from_vec([batch, 2], points)?, Tensor::from_vec([batch], targets)?);
            training.step(&[("x", &x), ("t", &t)])?;
            for (name, value) in training.parameters() {
                at_corners.executable().set_state(&name, &value)?;
            }
            let outputs = at_corners.run(&[("x", &corners)])?;
            let answers = outputs.get("y").expect("named above").view::<f32>()?;
            last = answers.iter().zip(table).filter(|(y, t)| (**y > 0.5) == (*t > 0.5)).count();
            if last >= best {
                best = last;
                for (name, value) in training.parameters() {
                    everywhere.executable().set_state(&name, &value)?;
                }
            }
        }
    }
    println!("  {name:<10} of {function:<4} after {epochs} epochs: {last} of 4 right, at best {best}");
    let outputs = everywhere.run(&[("x", &plane()?)])?;
    Ok(draw(outputs.get("y").expect("named above").view::<f32>()?, &table))
}

/// The plane, blue where the answer is 0 and orange where it is 1, and what it should be at the corners.
fn draw(answers: &[f32], table: &[f32]) -> RgbImage {
    let [no, yes] = [pictures::COLOURS[0], pictures::COLOURS[1]];
    let mut picture = pictures::blank(SIDE, SIDE);
    for (i, &answer) in answers.iter().enumerate() {
        let pale = |colour| pictures::mix(pictures::WHITE, colour, 0.45);
        let colour = pictures::mix(pale(no), pale(yes), f64::from(answer));
        picture.put_pixel((i % SIDE) as u32, (i / SIDE) as u32, image::Rgb(colour));
    }
    for (i, &target) in table.iter().enumerate() {
        let at = |bit: usize| (bit as f64 + 0.5) / 2.0 * SIDE as f64;
        let centre = [at(i / 2), SIDE as f64 - at(i % 2)];
        pictures::disc(&mut picture, centre, 11.0, pictures::BLACK);
        pictures::disc(&mut picture, centre, 9.0, if target > 0.5 { yes } else { no });
    }
    picture
}
