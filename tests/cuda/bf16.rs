//! What bf16 is: a definition by distances, for the kernels' by bits to be compared with.

use cellc::device::Precision;
use cellc::device::cuda::{Arg, Place, Region};
use cellc::rng::{Purpose, stream};
use rand::Rng;

use crate::{Allowed, Words, bits, launch_alone};

/// What a number is off by when it is stored, at most, of its own size: half a unit in the last of 8 bits.
pub const ROUNDING: f32 = 1.0 / 256.0;

/// The error of what is computed from numbers that were rounded on the way: each has that of its own size, and where
/// they are added up or scaled, it is small beside the largest result.
pub const ROUNDED_TWICE: Allowed = Allowed { of_itself: ROUNDING, of_largest: ROUNDING };

/// The nearest number of bf16; of two, the one whose last bit is 0.
pub fn rounded(number: f32) -> f32 {
    if !number.is_finite() {
        return number;
    }
    let towards_zero = number.to_bits() & 0xffff_0000;
    // Numbers below the smallest exponent are as far apart as those of that exponent.
    let exponent = (towards_zero >> 23 & 0xff).max(1) as i32 - 127;
    let near = f64::from(f32::from_bits(towards_zero)).abs();
    let far = near + 2f64.powi(exponent - 7);
    let [below, above] = [f64::from(number).abs() - near, far - f64::from(number).abs()];
    let is_even = towards_zero & 0x1_0000 == 0;
    let is_near = below < above || below == above && is_even;
    // Behind the last number is infinity, in bits too.
    f32::from_bits(if is_near { towards_zero } else { towards_zero + 0x1_0000 })
}

/// Numbers of all kinds, rounded as a card rounds parameters; in single precision they are to stay as they are.
pub fn write_rounding(out: &mut Words, precision: Precision) {
    // Numbers of bf16 and between them: 0, the smallest, the largest below an exponent's end, 1, the largest of all.
    let upper = [0x0000, 0x0001, 0x0002, 0x007f, 0x0080, 0x3f7f, 0x3f80, 0x3f81, 0x7f7f];
    let lower = [0x0000, 0x0001, 0x7fff, 0x8000, 0x8001, 0xffff];
    let positive = upper.iter().flat_map(|upper| lower.map(|lower| upper << 16 | lower));
    // Infinity, and NaN whose mark lies in the half that is lost.
    let mut words: Vec<u32> = positive.chain([0x7f80_0000, 0x7f80_0001, 0x7fc0_0000]).collect();
    words.extend(words.clone().iter().map(|word| word | 1 << 31));
    let mut rng = stream(0, Purpose::Bench, 2);
    words.extend((0..1000).map(|_| rng.r#gen::<u32>()));
    let numbers: Vec<f32> = words.iter().map(|&word| f32::from_bits(word)).collect();
    let expected = match precision {
        Precision::F32 | Precision::Tf32 => numbers,
        Precision::Bf16 => numbers.into_iter().map(rounded).collect(),
    };
    let len = words.len();
    let [params, to] = [Place::Params, Place::RoundedParams]
        .map(|place| Arg::from(Region { place, start: 0, len }));
    out.text("rounding");
    out.before(&[(Place::Params, words), (Place::RoundedParams, vec![u32::MAX; len])]);
    out.number(1);
    out.command(&launch_alone("round_params", &[params, to, Arg::Len(len as u64)]));
    out.after(&[(Place::RoundedParams, bits(&expected))], |_| Allowed::NONE);
}
