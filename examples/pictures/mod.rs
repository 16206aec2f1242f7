//! Pictures of the examples, as PNG files.
#![allow(dead_code)] // each example needs some of it

use std::{io, path::PathBuf};

use image::{Rgb, RgbImage};

/// A colour for each class.
pub const COLOURS: [[u8; 3]; 10] = [
    [31, 119, 180],
    [255, 127, 14],
    [44, 160, 44],
    [214, 39, 40],
    [148, 103, 189],
    [140, 86, 75],
    [227, 119, 194],
    [127, 127, 127],
    [188, 189, 34],
    [23, 190, 207],
];

pub const WHITE: [u8; 3] = [255; 3];
pub const BLACK: [u8; 3] = [0; 3];

/// Saves a picture in the folder that the first argument names, or in that for temporary files, and says where.
pub fn save(picture: &RgbImage, name: &str) -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    std::fs::create_dir_all(&folder)?;
    let path = folder.join(name);
    picture.save(&path).map_err(io::Error::other)?;
    println!("drew {}", path.display());
    Ok(())
}

/// A white picture.
pub fn blank(width: usize, height: usize) -> RgbImage {
    RgbImage::from_pixel(width as u32, height as u32, Rgb(WHITE))
}

/// Puts a picture on another.
pub fn place(on: &mut RgbImage, picture: &RgbImage, x: usize, y: usize) {
    image::imageops::replace(on, picture, x as i64, y as i64);
}

/// Pictures side by side, with white between.
pub fn beside(pictures: &[RgbImage]) -> RgbImage {
    const GAP: usize = 12;
    let width = pictures.iter().map(|p| p.width() as usize + GAP).sum::<usize>() + GAP;
    let height = pictures.iter().map(|p| p.height() as usize).max().unwrap_or(0) + 2 * GAP;
    let mut all = blank(width, height);
    let mut x = GAP;
    for picture in pictures {
        place(&mut all, picture, x, GAP);
        x += picture.width() as usize + GAP;
    }
    all
}

/// A colour between two: 0 is the first, 1 the second.
pub fn mix(from: [u8; 3], to: [u8; 3], share: f64) -> [u8; 3] {
    let share = share.clamp(0.0, 1.0);
    std::array::from_fn(|i| {
        (f64::from(from[i]) + (f64::from(to[i]) - f64::from(from[i])) * share).round() as u8
    })
}

/// A disc.
pub fn disc(on: &mut RgbImage, [x, y]: [f64; 2], radius: f64, colour: [u8; 3]) {
    let range = |centre: f64, extent: u32| {
        let low = (centre - radius).floor().max(0.0) as u32;
        low..((centre + radius).ceil().max(0.0) as u32 + 1).min(extent)
    };
    for py in range(y, on.height()) {
        for px in range(x, on.width()) {
            let (dx, dy) = (f64::from(px) + 0.5 - x, f64::from(py) + 0.5 - y);
            if dx * dx + dy * dy <= radius * radius {
                on.put_pixel(px, py, Rgb(colour));
            }
        }
    }
}

/// Square images of `side`, one after the other in `pixels`, in rows of so many, each pixel `scale` wide in the colour that is
/// said for it.
pub fn grid(
    pixels: &[f32],
    side: usize,
    columns: usize,
    scale: usize,
    colour: fn(f32) -> [u8; 3],
) -> RgbImage {
    let count = pixels.len() / (side * side);
    let cell = side * scale + 2;
    let mut all = blank(columns * cell + 2, count.div_ceil(columns) * cell + 2);
    for (i, image) in pixels.chunks(side * side).enumerate() {
        let (left, top) = (i % columns * cell + 2, i / columns * cell + 2);
        for y in 0..side * scale {
            for x in 0..side * scale {
                let shade = colour(image[y / scale * side + x / scale]);
                all.put_pixel((left + x) as u32, (top + y) as u32, Rgb(shade));
            }
        }
    }
    all
}

/// White on black, from 0 to 1.
pub fn grey(x: f32) -> [u8; 3] {
    mix(BLACK, WHITE, f64::from(x))
}

/// Blue for −1, white for 0, orange for 1.
pub fn signed(x: f32) -> [u8; 3] {
    mix(WHITE, COLOURS[usize::from(x > 0.0)], f64::from(x.abs()))
}
