//! The lists of numbers that llama-bench's flags take: `512`, `1,2,4`, `1-8`, `1-8+2`, `128-1024*2`, and pairs `512,128`.

/// Every number of a list of numbers and ranges.
pub fn numbers(list: &str) -> Result<Vec<usize>, String> {
    let mut all = Vec::new();
    for item in list.split(',').map(str::trim) {
        let (range, step) = match item.find(['+', '*']) {
            Some(at) => (&item[..at], Some((item.as_bytes()[at], number(&item[at + 1..])?))),
            None => (item, None),
        };
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last) = (number(first)?, number(last)?);
        let (operator, by) = step.unwrap_or((b'+', 1));
        if first > last || (operator == b'+' && by == 0) || (operator == b'*' && (by < 2 || first == 0)) {
            return Err(format!("{item:?} is no range that ends"));
        }
        let mut value = first;
        while value <= last {
            all.push(value);
            if all.len() > 1000 {
                return Err(format!("{list:?} has more than 1000 numbers"));
            }
            value = if operator == b'*' { value.saturating_mul(by) } else { value.saturating_add(by) };
        }
    }
    Ok(all)
}

/// `512,128`: a prompt and what is generated after it.
pub fn pair(text: &str) -> Result<(usize, usize), String> {
    let (prompt, generated) = text.split_once(',').ok_or_else(|| format!("{text:?} is not of the form PROMPT,GENERATED"))?;
    Ok((number(prompt)?, number(generated)?))
}

fn number(text: &str) -> Result<usize, String> {
    let number: u32 = text.trim().parse().map_err(|_| format!("{text:?} is not a number of the list"))?;
    Ok(number as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges_are_llama_benchs() {
        assert_eq!(numbers("512"), Ok(vec![512]));
        assert_eq!(numbers("1,2, 4"), Ok(vec![1, 2, 4]));
        assert_eq!(numbers("1-4"), Ok(vec![1, 2, 3, 4]));
        assert_eq!(numbers("1-8+3"), Ok(vec![1, 4, 7]));
        assert_eq!(numbers("128-1024*2,7"), Ok(vec![128, 256, 512, 1024, 7]));
        for bad in ["", "x", "4-1", "1-4+0", "0-4*2", "1-4*1", "1,,2", "-1", "0-100000", "99999999999"] {
            assert!(numbers(bad).is_err(), "{bad}");
        }
        assert_eq!(pair("512,128"), Ok((512, 128)));
        assert!(pair("512").is_err());
    }
}
