//! Augmentations: known results, exactness where nothing is mixed, masks that move along, refusals.

use bespoke_data::{
    DataError, Dataset, Draws, Field, TensorDataset, Transform,
    augment::{
        Axis, Border, ColourPca, affine, brightness, contrast, crop, mirror, noise, perspective, rotate,
        rotate_in, shear, stretch, time_shift, translate,
    },
};
use bespoke_tensor::{DType, Scalar, Shape, Tensor, Type};

/// One example of these fields, changed.
fn apply(transform: &dyn Transform, fields: &[(&str, &Tensor)], seed: u64) -> Vec<Tensor> {
    let named: Vec<Field> = fields.iter().map(|(name, t)| Field::new(*name, t.ty())).collect();
    let after = transform.fields(&named).unwrap();
    let mut sample: Vec<Tensor> = fields.iter().map(|f| f.1.clone()).collect();
    transform.apply(&mut sample, &named, &mut Draws::new(seed, 0, 0)).unwrap();
    assert!(after.iter().zip(&sample).all(|(field, t)| field.ty == t.ty()));
    sample
}

fn image(transform: &dyn Transform, image: &Tensor) -> Tensor {
    apply(transform, &[("image", image)], 7).remove(0)
}

fn values(t: &Tensor) -> Vec<f32> {
    t.to_vec().unwrap()
}

fn ramp(shape: impl Into<Shape>) -> Tensor {
    Tensor::from_fn(Type::new(DType::F32, shape), |i| Scalar::I64(i as i64 + 1))
}

#[test]
fn mirrors_and_quarter_turns_move_elements_exactly() {
    let x = ramp([2, 3]);
    assert_eq!(values(&image(&mirror(Axis::Width), &x)), [3., 2., 1., 6., 5., 4.]);
    assert_eq!(values(&image(&mirror(Axis::Height), &x)), [4., 5., 6., 1., 2., 3.]);
    let both = mirror(Axis::Height).and(mirror(Axis::Width));
    assert_eq!(values(&image(&both, &x)), [6., 5., 4., 3., 2., 1.]);
    // Channels keep their places.
    assert_eq!(values(&image(&mirror(Axis::Width), &ramp([2, 1, 3]))), [3., 2., 1., 6., 5., 4.]);
    let volume = ramp([1, 2, 2, 2]);
    assert_eq!(values(&image(&mirror(Axis::Depth), &volume)), [5., 6., 7., 8., 1., 2., 3., 4.]);
    assert_eq!(values(&image(&mirror(Axis::Height), &volume)), [3., 4., 1., 2., 7., 8., 5., 6.]);
    assert_eq!(values(&image(&mirror(Axis::Width), &volume)), [2., 1., 4., 3., 6., 5., 8., 7.]);

    // A quarter turn to the left: what was right is above. numpy.rot90 gives the same.
    let close = |got: Tensor, expected: &[f32]| {
        let pairs = values(&got).into_iter().zip(expected);
        pairs.for_each(|(a, b)| assert!((a - b).abs() < 1e-5, "{got:?}, expected {expected:?}"));
    };
    let edge = |warp: bespoke_data::augment::Warp| warp.border(Border::Edge);
    close(image(&edge(rotate(90.0..=90.0)), &ramp([3, 3])), &[3., 6., 9., 2., 5., 8., 1., 4., 7.]);
    close(image(&edge(rotate(-90.0..=-90.0)), &ramp([3, 3])), &[7., 4., 1., 8., 5., 2., 9., 6., 3.]);
    close(image(&edge(rotate(90.0..=90.0)), &volume), &[2., 4., 1., 3., 6., 8., 5., 7.]);
    // In the plane of depth and height: what was at greater height comes to where depth begins.
    close(
        image(&edge(rotate_in(Axis::Depth, Axis::Height, 90.0..=90.0)), &volume),
        &[3., 4., 7., 8., 1., 2., 5., 6.],
    );
}

#[test]
fn shifts_are_whole_bounded_and_equally_likely() {
    let x = ramp([3, 4]);
    let mut seen = std::collections::HashMap::new();
    for seed in 0..1500 {
        let shifted = apply(&translate([1, 2]), &[("image", &x)], seed).remove(0);
        let shift = (-1..=1).flat_map(|down: i64| (-2..=2).map(move |right: i64| (down, right))).find(
            |(down, right)| {
                let at = |y: i64, x: i64| {
                    if (0..3).contains(&y) && (0..4).contains(&x) { (y * 4 + x + 1) as f32 } else { 0.0 }
                };
                (0..12).all(|i| values(&shifted)[i as usize] == at(i / 4 - down, i % 4 - right))
            },
        );
        *seen.entry(shift.expect("another shift")).or_insert(0) += 1;
    }
    assert_eq!(seen.len(), 15);
    assert!(seen.values().all(|count| (60..145).contains(count)), "{seen:?}");
}

#[test]
fn resampling_is_linear_and_leaves_what_stays_in_place() {
    // Elements of a plane are what the plane is at the place they come from, whatever the map, where that is inside.
    let plane = |y: f64, x: f64| 2.0 * y - 3.0 * x + 5.0;
    let x = Tensor::from_fn(Type::new(DType::F32, [9, 9]), |i| {
        Scalar::F64(plane((i / 9) as f64, (i % 9) as f64))
    });
    let got = values(&image(&stretch([2.0..=2.0, 4.0..=4.0]), &x));
    for (i, got) in got.iter().enumerate() {
        let (h, w) = ((i / 9) as f64 - 4.0, (i % 9) as f64 - 4.0);
        assert!((f64::from(*got) - plane(4.0 + h / 2.0, 4.0 + w / 4.0)).abs() < 1e-5);
    }
    let got = values(&image(&shear(Axis::Width, Axis::Height, 0.5..=0.5), &x));
    for i in [0, 1, 2, 3, 4] {
        // Row 2 is two above the centre, so it moves by −1: to the left.
        assert_eq!(f64::from(got[2 * 9 + i]), plane(2.0, i as f64 + 1.0));
    }
    // Half a turn of a volume with a fixed centre.
    let volume = ramp([2, 3, 3, 3]);
    for warp in [
        rotate(0.0..=0.0),
        stretch([1.0..=1.0, 1.0..=1.0, 1.0..=1.0]),
        affine(0.0),
        perspective(0.0),
        translate([0, 0, 0]),
    ] {
        assert_eq!(image(&warp, &volume), volume, "nothing was asked for");
    }
    let turned = image(&rotate(33.0..=33.0), &volume);
    assert_eq!((turned.get(13), turned.get(27 + 13)), (volume.get(13), volume.get(27 + 13)));
    // Steeper than the plane of a picture: a factor for each of three axes.
    let wide = Tensor::from_fn(Type::new(DType::F32, [1, 5, 5, 5]), |i| Scalar::F64((i / 25) as f64));
    let got = values(&image(&stretch([2.0..=2.0, 1.0..=1.0, 1.0..=1.0]), &wide));
    assert_eq!([0, 25, 50, 75, 100].map(|i| got[i]), [1.0, 1.5, 2.0, 2.5, 3.0]);
}

#[test]
fn perspectives_follow_their_formula() {
    let x = Tensor::from_fn(Type::new(DType::F32, [1, 64]), |i| Scalar::F64(i as f64));
    for seed in 0..20 {
        let got = values(&apply(&perspective(0.4).border(Border::Edge), &[("image", &x)], seed)[0]);
        // x / (1 + g x / h): solve for g at one place, and find it at the others. (The height of 1 plays no part.)
        let from_centre = |v: f32| f64::from(v) - 31.5;
        let g =
            |at: usize| (from_centre(at as f32) / from_centre(got[at]) - 1.0) * 32.0 / from_centre(at as f32);
        let expected = g(20);
        assert!(expected.abs() <= 0.4);
        for at in [10, 25, 40, 50] {
            if (0.5..62.5).contains(&got[at]) {
                assert!((g(at) - expected).abs() < 1e-3, "{} and {expected}", g(at));
            }
        }
    }
}

#[test]
fn borders_are_what_they_are_said_to_be() {
    let x = ramp([1, 3]);
    // Half as large: places −1, 1, 3 of a row of 3.
    let small = || stretch([1.0..=1.0, 0.5..=0.5]);
    assert_eq!(values(&image(&small(), &x)), [0., 2., 0.]);
    assert_eq!(values(&image(&small().border(Border::Value(9.0)), &x)), [9., 2., 9.]);
    assert_eq!(values(&image(&small().border(Border::Edge), &x)), [1., 2., 3.]);
    assert_eq!(values(&image(&small().border(Border::Reflect), &x)), [2., 2., 2.]);
    // Half inside: the border has half the weight.
    let x = ramp([1, 2]);
    let wide = || stretch([1.0..=1.0, 0.5..=0.5]).border(Border::Value(4.0));
    assert_eq!(values(&image(&wide(), &x)), [2.5, 3.0]);
    // What has no weight does not matter.
    let x = Tensor::from_vec([1, 3], vec![f32::INFINITY, 2.0, f32::NAN]).unwrap();
    assert_eq!(image(&rotate(0.0..=0.0), &x), x);
}

#[test]
fn masks_move_along_and_are_never_mixed() {
    let x =
        Tensor::from_fn(Type::new(DType::F32, [3, 12, 10]), |i| Scalar::I64(i64::from(i % 120 >= 60) * 3));
    for dtype in [DType::U8, DType::I64, DType::Bool, DType::F32] {
        let of = |v: i64| Scalar::I64(v).convert(dtype);
        let mask = Tensor::from_fn(Type::new(dtype, [12, 10]), |i| of(i64::from(i >= 60) * 3));
        let fields = [("image", &x), ("label", &Tensor::scalar(1i32)), ("mask", &mask)];
        for seed in 0..10 {
            let warp = affine(0.2).and(translate([1, 1])).border(Border::Edge).also("mask");
            let changed = apply(&warp, &fields, seed);
            assert_ne!(changed[2], mask);
            let mut mixed = 0;
            for (i, mask) in changed[2].scalars().enumerate() {
                assert!(mask == of(0) || mask == of(3), "{mask}");
                let value = changed[0].get(i).to_f64();
                match value {
                    0.0 | 3.0 => assert_eq!(mask, of(value as i64)),
                    _ => mixed += 1,
                }
            }
            assert!((1..60).contains(&mixed), "{mixed} elements are mixed along the line");
            let changed = apply(&crop([5, 4]).also("mask"), &fields, seed);
            assert_eq!(changed[2].ty(), Type::new(dtype, [5, 4]));
            assert!(
                changed[2]
                    .scalars()
                    .enumerate()
                    .all(|(i, mask)| mask == of(changed[0].get(i).to_f64() as i64))
            );
            assert_eq!(changed[1], Tensor::scalar(1i32));
        }
    }
    // Of volumes.
    let x = ramp([2, 3, 4, 5]);
    let mask = Tensor::from_fn(Type::new(DType::I32, [3, 4, 5]), |i| Scalar::I64(i as i64 + 1));
    for transform in [
        &mirror(Axis::Depth).also("mask") as &dyn Transform,
        &crop([2, 2, 3]).also("mask"),
        &translate([1, 1, 1]).also("mask"),
    ] {
        let changed = apply(transform, &[("image", &x), ("mask", &mask)], 3);
        assert!(changed[1].scalars().enumerate().all(|(i, m)| m.to_f64() == changed[0].get(i).to_f64()));
    }
}

#[test]
fn crops_come_from_everywhere_and_the_centre() {
    let x = ramp([2, 3, 4]);
    assert_eq!(values(&image(&crop([1, 2]).centre(), &x)), [6., 7., 18., 19.]);
    assert_eq!(image(&crop([3, 4]), &x), x);
    let mut starts = std::collections::HashSet::new();
    for seed in 0..200 {
        let piece = values(&apply(&crop([2, 3]), &[("image", &x)], seed)[0]);
        let start = piece[0];
        let offsets = [0., 1., 2., 4., 5., 6., 12., 13., 14., 16., 17., 18.];
        assert_eq!(piece, offsets.map(|o| o + start));
        starts.insert(start as usize);
    }
    assert_eq!(starts, [1, 2, 5, 6].into());
    let volume = ramp([1, 3, 3, 3]);
    assert_eq!(values(&image(&crop([1, 1, 1]).centre(), &volume)), [14.]);
    assert_eq!(values(&image(&crop([1, 3, 2]).centre(), &volume)), [10., 11., 13., 14., 16., 17.]);
}

#[test]
fn values_change_as_asked() {
    let x = Tensor::from_vec([2, 2], vec![1.0f32, 2.0, 3.0, 6.0]).unwrap();
    assert_eq!(values(&image(&contrast(0.5..=0.5), &x)), [2.0, 2.5, 3.0, 4.5]);
    assert_eq!(values(&image(&contrast(0.0..=0.0), &x)), [3.0; 4]);
    assert_eq!(values(&image(&brightness(-1.0..=-1.0), &x)), [0.0, 1.0, 2.0, 5.0]);
    let zeros = Tensor::zeros(Type::new(DType::F32, [10_001]));
    let noisy = values(&image(&noise(0.5), &zeros));
    let (mean, square) = (noisy.iter().sum::<f32>() / 1e4, noisy.iter().map(|x| x * x).sum::<f32>() / 1e4);
    assert!(mean.abs() < 0.02 && (square - 0.25).abs() < 0.015, "{mean}, {square}");
    assert_eq!(image(&noise(0.0), &x), x);
    // Some examples only.
    let changed =
        (0..1000).filter(|&s| apply(&brightness(1.0..=1.0).with_probability(0.3), &[("x", &x)], s)[0] != x);
    assert!((240..360).contains(&changed.count()));
}

#[test]
fn colours_change_along_their_principal_components() {
    // Nearly all variance along (2, 1, 2)/3, some along (1, −2·…)…
    let direction = [2.0 / 3.0, 1.0 / 3.0, 2.0 / 3.0];
    let mut draws = Draws::new(1, 1, 1);
    let shades: Vec<[f64; 2]> = (0..400 * 4).map(|_| draws.normals()).collect();
    let images = Tensor::from_fn(Type::new(DType::F32, [400, 3, 2, 2]), |i| {
        let (image, channel, pixel) = (i / 12, i / 4 % 3, i % 4);
        let [a, b] = shades[image * 4 + pixel];
        let across = [1.0 / 2f64.sqrt(), 0.0, -1.0 / 2f64.sqrt()];
        Scalar::F64(0.5 + 0.3 * a * direction[channel] + 0.1 * b * across[channel])
    });
    let data = TensorDataset::new("colours", [("image", images)]).unwrap();
    let pca = ColourPca::fit(&data, "image").unwrap();
    let [first, second, third] = pca.components() else { panic!("three channels") };
    assert!(
        (first.0 - 0.09).abs() < 0.01 && (second.0 - 0.01).abs() < 0.002 && third.0.abs() < 1e-6,
        "{pca:?}"
    );
    assert!(first.1.iter().zip(direction).all(|(a, b)| (a - b).abs() < 0.02), "{pca:?}");
    let jitter = pca.jitter(0.1);
    let sample = data.sample(0).unwrap();
    let mut along = vec![];
    for seed in 0..1000 {
        let changed = apply(&jitter, &[("image", &sample[0])], seed);
        let added: Vec<f64> =
            (0..12).map(|i| changed[0].get(i).to_f64() - sample[0].get(i).to_f64()).collect();
        assert!(
            added.chunks(4).all(|c| c.iter().all(|x| (x - c[0]).abs() < 1e-6)),
            "one colour for all pixels"
        );
        along.push((0..3).map(|c| added[c * 4] * first.1[c]).sum::<f64>());
    }
    let deviation = (along.iter().map(|x| x * x).sum::<f64>() / 1000.0).sqrt();
    assert!((deviation / (0.1 * first.0) - 1.0).abs() < 0.08, "{deviation}");
    let error =
        jitter.fields(&[Field::new("image", Type::new(DType::F32, [1, 2, 2]))]).unwrap_err().to_string();
    assert_eq!(error, "colour jitter: field `image`: expected 3 channels, got f32[1,2,2]");
    assert!(ColourPca::fit(&data, "picture").is_err());
}

#[test]
fn series_are_shifted_with_what_belongs_to_their_steps() {
    let series = ramp([5, 2]);
    let steps = Tensor::from_vec([5], vec![1u8, 2, 3, 4, 5]).unwrap();
    let mut seen = std::collections::HashSet::new();
    for seed in 0..100 {
        let shifted = apply(
            &time_shift(2).border(Border::Value(-7.0)).also("steps"),
            &[("series", &series), ("steps", &steps)],
            seed,
        );
        let by = (-2..=2i64).find(|by| {
            (0..5i64).all(|t| {
                let from = t - by;
                let inside = (0..5).contains(&from);
                let expected = |c: i64| if inside { (from * 2 + c + 1) as f32 } else { -7.0 };
                let step = if inside { from as u8 + 1 } else { 0 };
                values(&shifted[0])[t as usize * 2..][..2] == [expected(0), expected(1)]
                    && shifted[1].view::<u8>().unwrap()[t as usize] == step
            })
        });
        seen.insert(by.expect("another shift"));
    }
    assert_eq!(seen.len(), 5);
    assert_eq!(image(&time_shift(0), &series), series);
}

#[test]
fn what_cannot_be_done_is_refused() {
    let fields = |types: &[(&str, &str)]| -> Vec<Field> {
        types.iter().map(|(name, ty)| Field::new(*name, ty.parse().unwrap())).collect()
    };
    let image = fields(&[("image", "f32[3,8,8]"), ("label", "i32[]"), ("mask", "u8[8,9]")]);
    let volume = fields(&[("scan", "f32[1,4,4,4]")]);
    let bytes = fields(&[("image", "u8[8,8]")]);
    let cases: Vec<(Box<dyn Transform>, &[Field], &str)> = vec![
        (Box::new(mirror(Axis::Depth)), &image, "mirror: an image has no depth; expected a volume"),
        (
            Box::new(mirror(Axis::Width)),
            &bytes,
            "mirror: field `image`: expected an image f32[C,H,W] or f32[H,W], or a volume f32[C,D,H,W], got u8[8,8]",
        ),
        (Box::new(mirror(Axis::Width).on("label")), &image, "mirror: field `label`: expected an image"),
        (
            Box::new(mirror(Axis::Width).on("picture")),
            &image,
            "mirror: there is no field `picture`; the fields are `image`, `label`, `mask`",
        ),
        (
            Box::new(mirror(Axis::Width).also("mask")),
            &image,
            "mirror: field `mask`: expected extents [8, 8] in space, got u8[8,9]",
        ),
        (Box::new(mirror(Axis::Width)), &[], "mirror: there are no fields"),
        (
            Box::new(translate([1, 1])),
            &volume,
            "translate: expected 3 values, one for each axis in space, got 2",
        ),
        (Box::new(rotate(10.0..=-10.0)), &image, "rotate: expected a range within -360..=360, got 10..=-10"),
        (Box::new(rotate(f64::NAN..=1.0)), &image, "rotate: expected a range"),
        (
            Box::new(rotate_in(Axis::Width, Axis::Width, 0.0..=1.0)),
            &image,
            "rotate: expected two different axes",
        ),
        (
            Box::new(stretch([0.0..=1.0, 1.0..=1.0])),
            &image,
            "stretch: expected a range within 0.01..=100, got 0..=1",
        ),
        (Box::new(shear(Axis::Depth, Axis::Width, 0.0..=1.0)), &image, "shear: an image has no depth"),
        (Box::new(affine(0.5)), &image, "affine: expected from 0 to less than 1/2, got 0.5"),
        (
            Box::new(mirror(Axis::Width).and(perspective(-0.1))),
            &volume,
            "perspective: expected from 0 to less than 1/3, got -0.1",
        ),
        (Box::new(crop([9, 8])), &image, "crop: expected extents from 1 to [8, 8], got [9, 8]"),
        (Box::new(crop([0, 8])), &image, "crop: expected extents from 1 to [8, 8], got [0, 8]"),
        (Box::new(crop([8])), &image, "crop: expected extents from 1 to [8, 8], got [8]"),
        (
            Box::new(crop([4, 4]).with_probability(0.5)),
            &image,
            "a transform's probability 0.5: it makes field `image`, f32[3,8,8], f32[3,4,4]: expected 1",
        ),
        (
            Box::new(noise(1.0).with_probability(1.5)),
            &image,
            "a transform's probability: expected 0 to 1, got 1.5",
        ),
        (Box::new(noise(f64::INFINITY)), &image, "noise: expected a range"),
        (Box::new(noise(1.0).on("label")), &image, "noise: field `label`: expected f32, got i32[]"),
        (
            Box::new(time_shift(1)),
            &image,
            "time_shift: field `image`: expected a series f32[T] or f32[T,C], got f32[3,8,8]",
        ),
        (
            Box::new(crop([4, 4]).then(crop([5, 5]))),
            &image,
            "crop: expected extents from 1 to [4, 4], got [5, 5]",
        ),
    ];
    for (transform, fields, expected) in cases {
        let error: DataError = transform.fields(fields).unwrap_err();
        assert!(error.to_string().starts_with(expected), "{error}, expected {expected}");
    }
}
