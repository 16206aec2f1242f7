//! A net with feedback that remembers pictures (L08): direct learning, then recall unit by unit from pictures of which a quarter of the
//! pixels is wrong, or the lower half is missing.
//!
//! `cargo run --release --example hopfield [folder]`

mod pictures;

use bespoke::{Error, graph::philox, tensor::Tensor, zoo::hopfield::Hopfield};

/// Pixels along a side.
const SIDE: usize = 20;
const UNITS: usize = SIDE * SIDE;

/// Is a pixel of one of the pictures set? A ring, a cross, stripes, a chessboard, a triangle and a half.
fn is_set(picture: usize, x: usize, y: usize) -> bool {
    let (u, v) = (x as f64 - 9.5, y as f64 - 9.5);
    match picture {
        0 => (4.5..9.0).contains(&u.hypot(v)),
        1 => u.abs() < 3.0 || v.abs() < 3.0,
        2 => ((x + y) / 5).is_multiple_of(2),
        3 => (x / 5 + y / 5).is_multiple_of(2),
        4 => u.abs() < (v + 10.0) / 2.0,
        _ => x < SIDE / 2,
    }
}

const PICTURES: usize = 6;

fn main() -> Result<(), Error> {
    let bit = |i: usize| {
        let (picture, x, y) = (i / UNITS, i % SIDE, i / SIDE % SIDE);
        if is_set(picture, x, y) { 1.0f32 } else { -1.0 }
    };
    let patterns = Tensor::from_vec([PICTURES, UNITS], (0..PICTURES * UNITS).map(bit).collect())?;
    let mut net = Hopfield::learn(&patterns)?;
    println!("{PICTURES} pictures in {UNITS} units, {} weights", UNITS * (UNITS - 1));

    let patterns = patterns.view::<f32>()?;
    let mut rows = [patterns.to_vec(), vec![], vec![], vec![], vec![]];
    let ways = [("a quarter of the pixels turned", true), ("the lower half missing", false)];
    for (way, (what, noisy)) in ways.into_iter().enumerate() {
        let mut right = 0;
        println!("{what}:");
        for (i, pattern) in patterns.chunks(UNITS).enumerate() {
            let drawn = |unit: usize| philox::block([unit as u32, i as u32, 0, 0], [8, 0])[0];
            let corrupt = |(unit, &bit): (usize, &f32)| match noisy {
                true if drawn(unit) < u32::MAX / 4 => -bit,
                false if unit >= UNITS / 2 => -1.0,
                _ => bit,
            };
            let given: Vec<f32> = pattern.iter().enumerate().map(corrupt).collect();
            let recalled = net.recall(&Tensor::from_slice([UNITS], &given)?, 1, 20)?;
            let state = recalled.state.view::<f32>()?;
            let differ = |a: &[f32]| a.iter().zip(pattern).filter(|(a, b)| a != b).count();
            let energies: Vec<String> = recalled.energies.iter().map(|e| format!("{e:.1}")).collect();
            println!(
                "  picture {i}: {:>3} pixels wrong, after recall {:>3}; energy {}",
                differ(&given),
                differ(state),
                energies.join(" → ")
            );
            right += usize::from(differ(state) == 0);
            rows[1 + 2 * way].extend(given);
            rows[2 + 2 * way].extend(state);
        }
        println!("  {right} of {PICTURES} recalled without a fault");
    }
    let picture = pictures::grid(&rows.concat(), SIDE, PICTURES, 5, |x| pictures::grey((x + 1.0) / 2.0));
    Ok(pictures::save(&picture, "hopfield.png")?)
}
