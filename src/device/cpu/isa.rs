//! Instruction sets, and the macro that compiles one loop for each of them.

use std::fmt;
use std::str::FromStr;

/// An instruction set that the kernels are compiled for, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Isa {
    /// What every processor of the build's target has. Never fuses a multiply and an add, so its
    /// results have the same bits on every machine.
    Portable,
    /// AVX2 and FMA on x86-64.
    Avx2,
    /// AVX-512 F, BW, DQ and VL on x86-64.
    Avx512,
}

impl Isa {
    /// All instruction sets, from narrow to wide.
    pub const ALL: [Isa; 3] = [Isa::Portable, Isa::Avx2, Isa::Avx512];

    /// The environment variable that chooses an instruction set by its name, such as `portable`.
    pub const VARIABLE: &'static str = "CELLC_KERNELS";

    /// The instruction set that [`Isa::VARIABLE`] names, if this processor has it, and otherwise the widest
    /// that it has.
    pub fn detect() -> Isa {
        let is_available = |isa: &Isa| isa.is_available();
        let chosen = std::env::var(Isa::VARIABLE).ok().and_then(|name| name.parse().ok());
        let widest = || Isa::ALL.into_iter().rev().find(is_available);
        chosen.filter(is_available).or_else(widest).unwrap_or(Isa::Portable)
    }

    /// True if this processor has the instruction set.
    pub fn is_available(self) -> bool {
        match self {
            Isa::Portable => true,
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma"),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => {
                Isa::Avx2.is_available()
                    && is_x86_feature_detected!("avx512f")
                    && is_x86_feature_detected!("avx512bw")
                    && is_x86_feature_detected!("avx512dq")
                    && is_x86_feature_detected!("avx512vl")
            }
            #[cfg(not(target_arch = "x86_64"))]
            Isa::Avx2 | Isa::Avx512 => false,
        }
    }
}

impl Isa {
    /// True if there are kernels for single windows, see [`for_each_isa`].
    pub(super) fn is_specialized(self) -> bool {
        self != Isa::Portable || cfg!(not(target_arch = "x86_64"))
    }
}

impl fmt::Display for Isa {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Isa::Portable => "portable",
            Isa::Avx2 => "avx2",
            Isa::Avx512 => "avx512",
        })
    }
}

impl FromStr for Isa {
    type Err = String;

    fn from_str(name: &str) -> Result<Isa, String> {
        let names = Isa::ALL.map(|isa| isa.to_string());
        let known = Isa::ALL.into_iter().zip(&names).find(|(_, known)| *known == name);
        known.map(|(isa, _)| isa).ok_or_else(|| format!("known are {}", names.join(", ")))
    }
}

/// Defines a function that runs its body compiled for the instruction set of its first argument, a
/// [`Kernels`](super::Kernels).
///
/// The body is inlined into one function for each instruction set, and whatever it calls must be
/// inlined with it to profit. There are three forms: plain loops, which the compiler vectorizes;
/// bodies that are generic over [`Simd`](super::simd::Simd), and maybe over constants, whose values
/// follow for each instruction set: `[portable <2>, avx2 <6>, avx512 <8>]`; and bodies that are
/// generic over constants of the caller's, too, behind a semicolon. Where there is vector code the
/// last form has no portable code, since that would be much of it: the caller has another way.
macro_rules! for_each_isa {
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident($($arg:ident: $ty:ty),* $(,)?) $body:block
    ) => {
        for_each_isa! {
            $(#[$meta])*
            $vis fn $name<S: Simd>(_simd: S, $($arg: $ty),*) $body
            [portable <>, avx2 <>, avx512 <>]
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<S: Simd $(, const $param:ident: $kind:ty)*>(
            $simd:ident: S,
            $($arg:ident: $ty:ty),* $(,)?
        ) $body:block
        [
            portable <$($portable:literal),*>,
            avx2 <$($avx2:literal),*>,
            avx512 <$($avx512:literal),*>
        ]
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "some kernels have many sizes and slices")]
        $vis fn $name(kernels: $crate::device::cpu::Kernels, $($arg: $ty),*) {
            #[inline(always)]
            fn body<S: $crate::device::cpu::simd::Simd $(, const $param: $kind)*>(
                $simd: S,
                $($arg: $ty),*
            ) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2($($arg: $ty),*) {
                body::<_ $(, $avx2)*>($crate::device::cpu::simd::Avx2::new(), $($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512($($arg: $ty),*) {
                body::<_ $(, $avx512)*>($crate::device::cpu::simd::Avx512::new(), $($arg),*)
            }

            match kernels.isa() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: a `Kernels` is only made for an instruction set that the processor has.
                $crate::device::cpu::Isa::Avx2 => unsafe { avx2($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::device::cpu::Isa::Avx512 => unsafe { avx512($($arg),*) },
                _ => body::<_ $(, $portable)*>($crate::device::cpu::simd::Portable, $($arg),*),
            }
        }
    };
    (
        $(#[$meta:meta])*
        $vis:vis fn $name:ident<
            S: Simd $(, const $param:ident: $kind:ty)*;
            $(const $own:ident: $own_kind:ty),+
        >(
            $simd:ident: S,
            $($arg:ident: $ty:ty),* $(,)?
        ) $body:block
        [
            avx2 <$($avx2:literal),*>,
            avx512 <$($avx512:literal),*>,
            elsewhere <$($elsewhere:literal),*>
        ]
    ) => {
        $(#[$meta])*
        #[allow(clippy::too_many_arguments, reason = "some kernels have many sizes and slices")]
        $vis fn $name<$(const $own: $own_kind),+>(
            kernels: $crate::device::cpu::Kernels,
            $($arg: $ty),*
        ) {
            #[inline(always)]
            fn body<
                S: $crate::device::cpu::simd::Simd
                $(, const $param: $kind)*
                $(, const $own: $own_kind)+
            >($simd: S, $($arg: $ty),*) $body

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma")]
            fn avx2<$(const $own: $own_kind),+>($($arg: $ty),*) {
                let simd = $crate::device::cpu::simd::Avx2::new();
                body::<_ $(, $avx2)* $(, $own)+>(simd, $($arg),*)
            }

            #[cfg(target_arch = "x86_64")]
            #[target_feature(enable = "avx2,fma,avx512f,avx512bw,avx512dq,avx512vl")]
            fn avx512<$(const $own: $own_kind),+>($($arg: $ty),*) {
                let simd = $crate::device::cpu::simd::Avx512::new();
                body::<_ $(, $avx512)* $(, $own)+>(simd, $($arg),*)
            }

            match kernels.isa() {
                #[cfg(target_arch = "x86_64")]
                // SAFETY: a `Kernels` is only made for an instruction set that the processor has.
                $crate::device::cpu::Isa::Avx2 => unsafe { avx2::<$($own),+>($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                // SAFETY: as above.
                $crate::device::cpu::Isa::Avx512 => unsafe { avx512::<$($own),+>($($arg),*) },
                #[cfg(target_arch = "x86_64")]
                $crate::device::cpu::Isa::Portable => {
                    unreachable!("the portable kernels have another way, see `for_each_isa`")
                }
                #[cfg(not(target_arch = "x86_64"))]
                _ => body::<_ $(, $elsewhere)* $(, $own)+>(
                    $crate::device::cpu::simd::Portable,
                    $($arg),*
                ),
            }
        }
    };
}

pub(super) use for_each_isa;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wider_sets_contain_the_narrower() {
        assert!(Isa::Portable.is_available());
        assert!(!Isa::Avx512.is_available() || Isa::Avx2.is_available());
        assert!(Isa::detect().is_available());
    }

    #[test]
    fn names_are_read_back() {
        for isa in Isa::ALL {
            assert_eq!(isa.to_string().parse(), Ok(isa));
        }
        assert_eq!("sse".parse::<Isa>(), Err("known are portable, avx2, avx512".into()));
    }
}
