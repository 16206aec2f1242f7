//! The loader: order, repeatability, resuming, errors from the background, early ends.

use std::{
    collections::HashSet,
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use bespoke_data::{
    Batch, DataError, Dataset, Field, Loader, TensorDataset, Transform,
    augment::{crop, noise, rotate, translate},
    map,
};
use bespoke_tensor::{DType, Scalar, Tensor, Type};

/// Images of 4 × 5 that hold their index, and the index as label.
fn numbers(n: usize) -> TensorDataset {
    let image = Tensor::from_fn(Type::new(DType::F32, [n, 4, 5]), |i| {
        Scalar::F64((i / 20) as f64 + (i % 20) as f64 / 32.0)
    });
    let label = Tensor::from_fn(Type::new(DType::I32, [n]), |i| Scalar::I64(i as i64));
    TensorDataset::new("numbers", [("image", image), ("label", label)]).unwrap()
}

/// The same, each example made when it is asked for, after `before`.
fn slow(n: usize, before: impl Fn(usize) + Send + Sync) -> impl Dataset {
    let numbers = numbers(n);
    let fields = numbers.fields().to_vec();
    map(numbers, fields, move |index, sample| {
        before(index);
        Ok(sample)
    })
}

/// All that a loader gives in an epoch, from a batch on.
fn epoch(loader: &Loader, epoch: u64, from: usize) -> Vec<(usize, Vec<usize>, Vec<Tensor>)> {
    let mut batches = vec![];
    let copy = |t: &Tensor| Tensor::from_fn(t.ty(), |i| t.get(i));
    loader
        .run(epoch, from, |batch: &Batch| -> Result<_, DataError> {
            assert_eq!(batch.rows, batch.examples.len());
            batches.push((batch.number, batch.examples.clone(), batch.fields.iter().map(copy).collect()));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    batches
}

#[test]
fn every_example_comes_once_with_its_label() {
    for n in [0, 1, 6, 7, 20] {
        let (memory, made) = (numbers(n), slow(n, |_| ()));
        for data in [&memory as &dyn Dataset, &made] {
            for (size, prefetch) in [(1, 0), (3, 1), (3, 2), (7, 50), (100, 3), (usize::MAX, 0)] {
                let loader = Loader::new(data, size).shuffle(5).prefetch(prefetch);
                assert_eq!(loader.batches(), n.div_ceil(size));
                let batches = epoch(&loader, 3, 0);
                assert_eq!(batches.len(), loader.batches());
                let mut seen: Vec<usize> = vec![];
                for (k, (number, examples, fields)) in batches.iter().enumerate() {
                    assert_eq!(*number, k);
                    assert_eq!(examples.len(), size.min(n - k * size));
                    assert_eq!(fields[0].ty(), Type::new(DType::F32, [examples.len(), 4, 5]));
                    let labels = fields[1].view::<i32>().unwrap();
                    for ((image, &label), &index) in
                        fields[0].view::<f32>().unwrap().chunks(20).zip(labels).zip(examples)
                    {
                        assert_eq!((image[0], label), (index as f32, index as i32));
                    }
                    seen.extend(examples);
                }
                assert!(n < 7 || !seen.is_sorted(), "{n} examples were not shuffled");
                seen.sort();
                assert_eq!(seen, (0..n).collect::<Vec<_>>());
            }
        }
    }
    let data = numbers(7);
    let in_order: Vec<usize> = epoch(&Loader::new(&data, 2), 9, 0).into_iter().flat_map(|b| b.1).collect();
    assert_eq!(in_order, [0, 1, 2, 3, 4, 5, 6]);
    let sizes = |loader: Loader| epoch(&loader, 0, 0).iter().map(|b| b.1.len()).collect::<Vec<_>>();
    assert_eq!(sizes(Loader::new(&data, 3).drop_last()), [3, 3]);
    assert_eq!(sizes(Loader::new(&data, 7).drop_last()), [7]);
    assert_eq!(sizes(Loader::new(&data, 8).drop_last()), [0usize; 0]);
}

#[test]
fn batches_are_a_function_of_seed_epoch_and_number_alone() {
    let data = slow(23, |_| ());
    let augmented = |seed: u64, prefetch: usize| {
        let transform = rotate(-30.0..=30.0).then(noise(0.5).with_probability(0.7)).then(crop([3, 3]));
        Loader::new(&data, 4).shuffle(seed).augment(transform).prefetch(prefetch)
    };
    let whole = epoch(&augmented(1, 0), 2, 0);
    assert_eq!(whole[0].2[0].ty().to_string(), "f32[4,3,3]");
    for prefetch in [0, 1, 2, 9] {
        let loader = augmented(1, prefetch);
        assert_eq!(epoch(&loader, 2, 0), whole, "read {prefetch} ahead");
        for from in 0..8 {
            assert_eq!(epoch(&loader, 2, from), whole[from.min(6)..], "from {from}, {prefetch} ahead");
        }
    }
    assert_ne!(epoch(&augmented(1, 1), 3, 0), whole);
    assert_ne!(epoch(&augmented(2, 1), 2, 0), whole);
    // An example's changes do not depend on where in the epoch it comes.
    let values = |batches: &[(usize, Vec<usize>, Vec<Tensor>)]| {
        let mut values: Vec<(usize, Vec<u8>)> = vec![];
        for (_, examples, fields) in batches {
            values.extend(examples.iter().copied().zip(fields[0].bytes().chunks(36).map(<[u8]>::to_vec)));
        }
        values.sort();
        values
    };
    let transform = rotate(-30.0..=30.0).then(noise(0.5).with_probability(0.7)).then(crop([3, 3]));
    let other = Loader::new(&data, 7).shuffle(1).augment(transform);
    assert_eq!(values(&epoch(&other, 2, 0)), values(&whole));
    // Each example is changed by draws of its own.
    let noises: HashSet<Vec<u8>> = epoch(&Loader::new(&numbers(50), 1).augment(noise(1.0)), 0, 0)
        .iter()
        .map(|(_, examples, fields)| {
            let original = numbers(50).sample(examples[0]).unwrap();
            let pixels = fields[0].view::<f32>().unwrap().iter().zip(original[0].view::<f32>().unwrap());
            pixels.flat_map(|(a, b)| ((a - b) * 100.0).round().to_le_bytes()).collect()
        })
        .collect();
    assert_eq!(noises.len(), 50);
}

#[test]
fn memory_is_used_again() {
    let data = slow(40, |_| ());
    for (prefetch, most) in [(0, 1), (1, 2), (2, 3)] {
        for augmented in [false, true] {
            let mut loader = Loader::new(&data, 4).shuffle(1).prefetch(prefetch);
            if augmented {
                loader = loader.augment(translate([1, 1]));
            }
            let mut addresses = HashSet::new();
            loader
                .run(0, 0, |batch| -> Result<_, DataError> {
                    addresses.insert(batch.fields[0].as_ptr() as usize);
                    Ok(ControlFlow::Continue(()))
                })
                .unwrap();
            assert!(addresses.len() <= most, "{} for {prefetch} ahead", addresses.len());
        }
    }
}

#[test]
fn batches_are_read_while_others_are_used() {
    let made = Arc::new(AtomicUsize::new(0));
    let counter = made.clone();
    let data = slow(40, move |_| _ = counter.fetch_add(1, SeqCst));
    let mut ahead = vec![];
    Loader::new(&data, 4)
        .prefetch(2)
        .run(0, 0, |batch| -> Result<_, DataError> {
            // Enough time to read all that there is memory for.
            for _ in 0..200 {
                std::thread::sleep(Duration::from_millis(1));
                if made.load(SeqCst) >= (4 * (batch.number + 3)).min(40) {
                    break;
                }
            }
            ahead.push(made.load(SeqCst) - 4 * (batch.number + 1));
            Ok(ControlFlow::Continue(()))
        })
        .unwrap();
    assert_eq!(ahead, [8, 8, 8, 8, 8, 8, 8, 8, 4, 0]);
}

#[test]
fn an_early_end_joins_the_thread() {
    let alive = Arc::new(());
    let held = alive.clone();
    let data = slow(1000, move |_| _ = &held);
    let loader = Loader::new(&data, 2).prefetch(3);
    let mut seen = 0;
    loader
        .run(0, 0, |_| -> Result<_, DataError> {
            seen += 1;
            Ok(if seen == 5 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        })
        .unwrap();
    assert_eq!(seen, 5);
    let result = loader.run(0, 0, |_| Err(DataError::BatchSize));
    assert!(matches!(result, Err(DataError::BatchSize)));
    drop(loader);
    drop(data);
    assert_eq!(Arc::strong_count(&alive), 1);
    // A panic of the user's own goes on, and does not hang either.
    let data = slow(1000, |_| ());
    let loader = Loader::new(&data, 2).prefetch(3);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        loader.run(0, 0, |_| -> Result<_, DataError> { panic!("the user's") })
    }));
    assert_eq!(*panic.unwrap_err().downcast_ref::<&str>().unwrap(), "the user's");
}

#[test]
fn what_fails_in_the_background_arrives() {
    for prefetch in [0, 1, 4] {
        let data = numbers(20);
        let fields = data.fields().to_vec();
        let failing =
            map(
                &data,
                fields.clone(),
                |index, sample| {
                    if index == 9 { Err(DataError::BatchSize) } else { Ok(sample) }
                },
            );
        let mut seen = 0;
        let result = Loader::new(&failing, 2).prefetch(prefetch).run(0, 0, |_| {
            seen += 1;
            Ok(ControlFlow::Continue(()))
        });
        assert!(matches!(result, Err(DataError::BatchSize)));
        assert_eq!(seen, 4, "what was read before the failure is used");

        // Of another type than it says.
        let wrong = map(&data, fields.clone(), |index, mut sample| {
            if index == 3 {
                sample[1] = Tensor::scalar(1u8);
            }
            Ok(sample)
        });
        let result = Loader::new(&wrong, 2)
            .prefetch(prefetch)
            .run(0, 0, |_| -> Result<_, DataError> { Ok(ControlFlow::Continue(())) });
        assert_eq!(
            result.unwrap_err().to_string(),
            "numbers: field `label` of example 3: expected i32[], got u8[]"
        );
    }
    let panicking = slow(20, |index| assert_ne!(index, 9, "the disk is on fire"));
    let mut seen = 0;
    let result = Loader::new(&panicking, 2).prefetch(2).run(0, 0, |_| -> Result<_, DataError> {
        seen += 1;
        Ok(ControlFlow::Continue(()))
    });
    let error = result.unwrap_err().to_string();
    assert!(
        error.starts_with("numbers: the thread that reads examples panicked: ") && error.contains("on fire"),
        "{error}"
    );
    assert_eq!(seen, 4);
}

#[test]
fn mistakes_are_errors_before_anything_is_read() {
    let data = slow(20, |_| panic!("read"));
    let go_on = |_: &Batch| -> Result<_, DataError> { Ok(ControlFlow::Continue(())) };
    let error = Loader::new(&data, 0).run(0, 0, go_on).unwrap_err();
    assert!(matches!(error, DataError::BatchSize));
    let error = Loader::new(&data, 2).augment(noise(1.0).on("picture")).run(0, 0, go_on).unwrap_err();
    assert_eq!(error.to_string(), "noise: there is no field `picture`; the fields are `image`, `label`");

    /// Makes other types than it says.
    struct Liar;
    impl Transform for Liar {
        fn apply(
            &self,
            sample: &mut [Tensor],
            _: &[Field],
            _: &mut bespoke_data::Draws,
        ) -> Result<(), DataError> {
            sample[0] = Tensor::scalar(0.0f32);
            Ok(())
        }
    }
    let data = numbers(4);
    let error = Loader::new(&data, 2).augment(Liar).run(0, 0, go_on).unwrap_err().to_string();
    assert_eq!(error, "numbers: field `image` of example 0: expected f32[4,5], got f32[]");
}
