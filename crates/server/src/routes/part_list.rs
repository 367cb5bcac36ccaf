//! The list of parts that completes an upload: `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>…</ETag></Part>…`.
//!
//! Every client writes it differently (declaration or none, spaces, quoted or bare ETags, quotes as entities), so only what matters
//! is read: the text of each part's two elements. It is no XML parser and follows no reference.

/// The part numbers and ETags in the order of the numbers, or `None` when it is no such list. ETags are without quotes, in lower
/// case.
pub fn parse(text: &str) -> Option<Vec<(u32, String)>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((part, after)) = element(rest, "Part") {
        let (number, _) = element(part, "PartNumber")?;
        let (etag, _) = element(part, "ETag")?;
        parts.push((number.trim().parse().ok()?, bare(etag)));
        rest = after;
    }
    parts.sort();
    let distinct = parts.windows(2).all(|pair| matches!(pair, [(a, _), (b, _)] if a != b));
    (!parts.is_empty() && distinct).then_some(parts)
}

/// The text inside the first element of that name, and what follows it. No byte is looked at more than a few times, however many tags
/// are begun and not ended: who may upload a part may send megabytes of them.
fn element<'t>(text: &'t str, name: &str) -> Option<(&'t str, &'t str)> {
    let mut rest = text;
    loop {
        let (_, after) = rest.split_once('<')?;
        rest = after;
        let Some(inside_tag) = rest.strip_prefix(name) else { continue };
        if inside_tag.starts_with(|next: char| next == '>' || next.is_whitespace()) {
            let (_, content) = inside_tag.split_once('>')?;
            return content.split_once(&format!("</{name}>"));
        }
    }
}

/// An ETag without its quotes, however they are written.
fn bare(etag: &str) -> String {
    let text = etag.replace("&quot;", "").replace("&#34;", "").replace("&#x22;", "").replace('"', "");
    text.trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_clients_way_of_writing_is_read() {
        let two = Some(vec![(1, "aa".to_owned()), (2, "bb".to_owned())]);
        let check =
            |text: &str, expected: &Option<Vec<(u32, String)>>| assert_eq!(&parse(text), expected, "{text}");
        check(
            "<CompleteMultipartUpload>\n<Part>\n<PartNumber>1</PartNumber>\n<ETag>\"aa\"</ETag>\n</Part>\n<Part>\n\
             <PartNumber>2</PartNumber>\n<ETag>\"bb\"</ETag>\n</Part>\n</CompleteMultipartUpload>",
            &two,
        );
        check(
            "<CompleteMultipartUpload>\n    <Part>\n        <PartNumber>2</PartNumber>\n        <ETag>bb</ETag>\n    </Part>\n    \
             <Part>\n        <PartNumber>1</PartNumber>\n        <ETag>aa</ETag>\n    </Part>\n</CompleteMultipartUpload>",
            &two,
        );
        check(
            "<?xml version=\"1.0\"?><CompleteMultipartUpload xmlns=\"x\"><Part><ETag>&quot;AA&quot;</ETag><PartNumber> 1 \
             </PartNumber></Part><Part ><ETag>&#34;bb&#34;</ETag><PartNumber>2</PartNumber></Part></CompleteMultipartUpload>",
            &two,
        );
        for bad in [
            "",
            "<CompleteMultipartUpload></CompleteMultipartUpload>",
            "<Part><PartNumber>1</PartNumber></Part>",
            "<Part><PartNumber>x</PartNumber><ETag>a</ETag></Part>",
            "<Part><PartNumber>1</PartNumber><ETag>a</ETag></Part><Part><PartNumber>1</PartNumber><ETag>b</ETag></Part>",
        ] {
            check(bad, &None);
        }
    }

    #[test]
    fn tags_that_never_end_cost_no_more_than_their_length() {
        // A second look at what follows each of them would take hours.
        for bad in ["<Part", "<Part ", "<PartNumber", "<Part<", "<"] {
            let text = bad.repeat(1_000_000);
            assert_eq!(parse(&text), None);
            assert_eq!(parse(&format!("{text}>")), None);
            assert_eq!(parse(&format!("<Part>{text}></Part>")), None);
        }
    }

    proptest! {
        #[test]
        fn nothing_that_arrives_makes_it_fail(text in "(<|>|/|Part|PartNumber|ETag|[a-z0-9 é\"&;])*") {
            let _ = parse(&text);
        }
    }
}
