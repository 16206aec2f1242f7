//! Draws what every 2-D augmentation makes of two images and a mask, as one picture: a row for each augmentation, with the
//! originals at the left and six draws beside them.
//!
//! `cargo run --example augmentation [PICTURE.png]`

use std::path::PathBuf;

use bespoke_data::{
    DataError, Dataset, Draws, TensorDataset, Transform,
    augment::{
        Axis, Border, ColourPca, affine, brightness, contrast, crop, mirror, noise, perspective, rotate,
        shear, stretch, translate,
    },
    mnist_bundled,
};
use bespoke_tensor::{DType, Scalar, Tensor, Type};
use image::{Rgb, RgbImage};

/// Extent of the images, as they are and as they are shown.
const SIDE: usize = 28;
const SHOWN: u32 = 56;
const DRAWS: u64 = 6;

/// Two examples: a digit in colour on a gradient with a grid, and its mask.
fn examples() -> Result<TensorDataset, DataError> {
    let digits = mnist_bundled().test;
    let digit = digits.field("image").expect("a field of MNIST");
    let ink = |i: usize| {
        let (example, place) = (i / (3 * SIDE * SIDE), i % (SIDE * SIDE));
        digit.get(example * SIDE * SIDE + place).to_f64()
    };
    let image = Tensor::from_fn(Type::new(DType::F32, [2, 3, SIDE, SIDE]), |i| {
        let (channel, y, x) = (i / (SIDE * SIDE) % 3, i / SIDE % SIDE, i % SIDE);
        let line = if y % 7 == 3 || x % 7 == 3 { 0.25 } else { 0.0 };
        let ground =
            [0.1 + 0.3 * x as f64 / SIDE as f64, 0.15, 0.4 - 0.3 * y as f64 / SIDE as f64][channel] + line;
        Scalar::F64(ground + ink(i) * ([1.0, 0.8, 0.2][channel] - ground))
    });
    let mask = Tensor::from_fn(Type::new(DType::U8, [2, SIDE, SIDE]), |i| {
        let inked = digit.get(i).to_f64() > 0.5;
        Scalar::U8(u8::from(inked))
    });
    TensorDataset::new("digits in colour", [("image", image), ("mask", mask)])
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let data = examples()?;
    let colours = ColourPca::fit(&data, "image")?;
    let rows: Vec<(&str, Box<dyn Transform>)> = vec![
        ("mirror along the width", Box::new(mirror(Axis::Width).also("mask"))),
        ("mirror along the height", Box::new(mirror(Axis::Height).also("mask"))),
        ("translate up to 6", Box::new(translate([6, 6]).also("mask"))),
        ("rotate up to 45°", Box::new(rotate(-45.0..=45.0).also("mask"))),
        (
            "rotate by 30°, reflected border",
            Box::new(rotate(30.0..=30.0).border(Border::Reflect).also("mask")),
        ),
        (
            "stretch by 0.6 to 1.5",
            Box::new(stretch([0.6..=1.5, 0.6..=1.5]).border(Border::Edge).also("mask")),
        ),
        ("shear along the width", Box::new(shear(Axis::Width, Axis::Height, -0.6..=0.6).also("mask"))),
        ("affine by 0.3", Box::new(affine(0.3).also("mask"))),
        ("perspective by 0.4", Box::new(perspective(0.4).also("mask"))),
        ("crop 20 by 20", Box::new(crop([20, 20]).also("mask"))),
        ("contrast 0.3 to 2", Box::new(contrast(0.3..=2.0))),
        ("brightness ± 0.4", Box::new(brightness(-0.4..=0.4))),
        ("noise of 0.15", Box::new(noise(0.15))),
        ("colour jitter of 8 deviations", Box::new(colours.jitter(8.0))),
        ("half of them mirrored", Box::new(mirror(Axis::Width).also("mask").with_probability(0.5))),
    ];
    let width = (DRAWS as u32 + 2) * (SHOWN + 4) * 2;
    let mut sheet = RgbImage::from_pixel(width, rows.len() as u32 * (SHOWN + 4), Rgb([255; 3]));
    for (row, (name, transform)) in rows.iter().enumerate() {
        println!("row {}: {name}", row + 1);
        transform.fields(data.fields())?;
        for column in 0..DRAWS + 2 {
            // The originals, then the draws: of one image, then of the other.
            let original = data.sample((column % 2) as usize)?;
            let mut sample = original.clone();
            if column >= 2 {
                transform.apply(&mut sample, data.fields(), &mut Draws::new(1, row as u64, column))?;
            }
            let (left, top) = (column as u32 * (SHOWN + 4) * 2, row as u32 * (SHOWN + 4));
            draw(&mut sheet, left, top, &sample)?;
        }
    }
    let path = std::env::args_os()
        .nth(1)
        .map_or_else(|| std::env::temp_dir().join("augmentation.png"), PathBuf::from);
    sheet.save(&path)?;
    println!("wrote {}", path.display());
    Ok(())
}

/// Draws an image with its mask beside it.
fn draw(sheet: &mut RgbImage, left: u32, top: u32, sample: &[Tensor]) -> Result<(), DataError> {
    let (image, mask) = (sample[0].view::<f32>()?, sample[1].view::<u8>()?);
    let side = sample[1].shape()[0];
    for y in 0..SHOWN {
        for x in 0..SHOWN {
            let place = (y as usize * side / SHOWN as usize) * side + x as usize * side / SHOWN as usize;
            let colour = [0, 1, 2].map(|channel| (image[channel * side * side + place] * 255.0) as u8);
            sheet.put_pixel(left + x, top + y, Rgb(colour));
            sheet.put_pixel(left + SHOWN + 2 + x, top + y, Rgb([mask[place] * 200 + 20; 3]));
        }
    }
    Ok(())
}
