//! Machine code as text.

/// One instruction a line, with offsets from the function's start; jump targets are offsets too. Bytes in hexadecimal on
/// machines other than x86-64.
pub fn disassemble(bytes: &[u8]) -> String {
    if cfg!(target_arch = "x86_64") { x86(bytes) } else { hexadecimal(bytes, 0) }
}

fn x86(bytes: &[u8]) -> String {
    use iced_x86::{Decoder, DecoderOptions, FlowControl, Formatter, NasmFormatter};
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    let mut formatter = NasmFormatter::new();
    let options = formatter.options_mut();
    options.set_first_operand_char_index(10);
    options.set_branch_leading_zeros(false);
    options.set_uppercase_hex(false);
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_rip_relative_addresses(true);
    let mut text = String::new();
    let mut furthest = 0; // branch target
    for instruction in &mut decoder {
        text.push_str(&format!("{:6x}  ", instruction.ip()));
        formatter.format(&instruction, &mut text);
        text.push('\n');
        furthest = furthest.max(instruction.near_branch_target());
        let falls_through = matches!(
            instruction.flow_control(),
            FlowControl::Next
                | FlowControl::ConditionalBranch
                | FlowControl::Call
                | FlowControl::IndirectCall
        );
        // Behind the last instruction lie the constants.
        if !falls_through && instruction.next_ip() > furthest {
            break;
        }
    }
    let end = decoder.position();
    if bytes[end..].iter().any(|&b| b != 0) {
        let start = end.next_multiple_of(16).min(bytes.len());
        text.push_str("constants:\n");
        text.push_str(&hexadecimal(&bytes[start..], start));
    }
    text
}

/// Sixteen bytes a line, with their offset.
fn hexadecimal(bytes: &[u8], start: usize) -> String {
    let line = |(i, chunk): (usize, &[u8])| {
        let hex: Vec<String> = chunk.iter().map(|b| format!("{b:02x}")).collect();
        format!("{:6x}  {}\n", start + i * 16, hex.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}
