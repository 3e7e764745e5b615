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
