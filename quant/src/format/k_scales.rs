//! The 12 bytes in which Q4_K and Q5_K keep eight 6-bit scales and eight 6-bit minima.
//!
//! ```text
//! byte      0–3        4–7        8–11
//! bits 7–6  s4–s7 hi   m4–m7 hi   m4–m7 low 4 (bits 7–4)
//! bits 5–0  s0–s3      m0–m3      s4–s7 low 4 (bits 3–0)
//! ```

/// Scale and minimum of sub-block `j` (0–7).
pub(super) fn scale_min(packed: &[u8; 12], j: usize) -> (u8, u8) {
    if j < 4 {
        (packed[j] & 63, packed[j + 4] & 63)
    } else {
        let low = packed[j + 4];
        ((low & 15) | ((packed[j - 4] >> 6) << 4), (low >> 4) | ((packed[j] >> 6) << 4))
    }
}
