//! WebSocket frames as bytes (RFC 6455 section 5.2), right ones and wrong ones.

/// A frame with this first byte: 0x80 for a final one, and the opcode. A client's is masked, here with
/// zeros, so that the payload stays as it is.
pub fn frame(first: u8, masked: bool, payload: &[u8]) -> Vec<u8> {
    let mut frame = frame_head(first, masked, payload.len() as u64);
    frame.extend_from_slice(payload);
    frame
}

/// What stands before a payload of that length, which need not follow.
pub fn frame_head(first: u8, masked: bool, length: u64) -> Vec<u8> {
    let mask_bit = if masked { 0x80 } else { 0 };
    let mut head = vec![first];
    match length {
        0..126 => head.push(mask_bit | length as u8),
        126..0x1_0000 => {
            head.push(mask_bit | 126);
            head.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            head.push(mask_bit | 127);
            head.extend_from_slice(&length.to_be_bytes());
        }
    }
    if masked {
        head.extend_from_slice(&[0; 4]);
    }
    head
}
