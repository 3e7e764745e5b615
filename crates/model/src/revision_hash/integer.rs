//! Integers of any length in Erlang's binary form.

/// An integer that does not fit 64 bits with a sign: the bytes of its magnitude, least first.
pub(super) fn magnitude(digits: &[u8]) -> Vec<u8> {
    const CHUNK: usize = 18;
    let mut limbs: Vec<u64> = Vec::with_capacity(digits.len() / 19 + 1);
    let (first, rest) = digits.split_at(digits.len() % CHUNK);
    for chunk in std::iter::once(first).chain(rest.chunks(CHUNK)) {
        let mut carry = 0_u64;
        let mut scale = 1_u64;
        for &digit in chunk {
            carry = carry * 10 + u64::from(digit - b'0');
            scale *= 10;
        }
        for limb in &mut limbs {
            let product = u128::from(*limb) * u128::from(scale) + u128::from(carry);
            let low = product & u128::from(u64::MAX);
            *limb = u64::try_from(low).expect("masked to 64 bits");
            carry = u64::try_from(product >> 64).expect("shifted to 64 bits");
        }
        if carry > 0 {
            limbs.push(carry);
        }
    }
    let mut bytes: Vec<u8> = limbs.iter().flat_map(|limb| limb.to_le_bytes()).collect();
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::magnitude;

    proptest! {
        #[test]
        fn a_magnitude_is_the_number_in_base_256(number in any::<u128>(), shift in 0_u32..128) {
            let number = number >> shift;
            let mut bytes = magnitude(number.to_string().as_bytes());
            prop_assert_ne!(bytes.last(), Some(&0));
            bytes.resize(16, 0);
            prop_assert_eq!(bytes, number.to_le_bytes());
        }
    }

    #[test]
    fn a_power_of_two_of_any_length_has_one_bit() {
        let mut digits = vec![1_u8]; // least first
        for exponent in 0..3_000 {
            let text: Vec<u8> = digits.iter().rev().map(|digit| b'0' + digit).collect();
            let bytes = magnitude(&text);
            assert_eq!(bytes.len(), exponent / 8 + 1);
            assert_eq!(bytes.last(), Some(&(1 << (exponent % 8))));
            assert!(bytes[..bytes.len() - 1].iter().all(|&byte| byte == 0));
            let mut carry = 0;
            for digit in &mut digits {
                let double = *digit * 2 + carry;
                (*digit, carry) = (double % 10, double / 10);
            }
            if carry > 0 {
                digits.push(carry);
            }
        }
    }
}
