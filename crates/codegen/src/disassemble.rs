//! Machine code as text.

/// One instruction a line, with offsets from the function's start; jump targets are offsets too. Bytes in hexadecimal on
/// machines other than x86-64.
pub fn disassemble(bytes: &[u8]) -> String {
    if cfg!(target_arch = "x86_64") { x86(bytes) } else { hexadecimal(bytes) }
}

fn x86(bytes: &[u8]) -> String {
    use iced_x86::{Decoder, DecoderOptions, Formatter, NasmFormatter};
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
    for instruction in &mut decoder {
        text.push_str(&format!("{:6x}  ", instruction.ip()));
        formatter.format(&instruction, &mut text);
        text.push('\n');
    }
    text
}

fn hexadecimal(bytes: &[u8]) -> String {
    let line = |(i, chunk): (usize, &[u8])| {
        let hex: Vec<String> = chunk.iter().map(|b| format!("{b:02x}")).collect();
        format!("{:6x}  {}\n", i * 16, hex.join(" "))
    };
    bytes.chunks(16).enumerate().map(line).collect()
}
