//! Chat templates against Hugging Face's `apply_chat_template`, on the templates of ten families and four conversations each
//! (`tests/reference/make_text.py` wrote what it makes of them), and what happens to templates that are wrong or hostile.

use chrono::NaiveDate;
use kinglet::error::TextError;
use kinglet::text::{ChatTemplate, Message, RenderOptions};
use serde_json::{Value, json};
use std::path::PathBuf;

fn fixture(name: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/text/chat").join(name);
    std::fs::read_to_string(path).unwrap()
}

fn options(generate: bool) -> RenderOptions {
    let now = NaiveDate::from_ymd_opt(2024, 7, 6).unwrap().and_hms_opt(8, 5, 9);
    RenderOptions { add_generation_prompt: generate, now, ..RenderOptions::default() }
}

fn template(source: &str) -> Result<ChatTemplate, TextError> {
    ChatTemplate::new(source, Some("<s>"), Some("</s>"))
}

/// What a template makes of one message.
fn render(source: &str) -> Result<String, TextError> {
    template(source)?.render(&[Message::new("user", "Hi there")], &options(true))
}

#[test]
fn templates_give_what_hugging_face_gives() {
    let expected: Value = serde_json::from_str(&fixture("expected.json")).unwrap();
    let cases = expected["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 80);
    for case in cases {
        let source = fixture(&format!("{}.jinja", case["template"].as_str().unwrap()));
        let messages: Vec<Message> =
            serde_json::from_value(expected["conversations"][case["conversation"].as_str().unwrap()].clone()).unwrap();
        let rendered = template(&source).unwrap().render(&messages, &options(case["generate"] == true));
        match (&case["text"], &rendered) {
            (Value::String(text), Ok(rendered)) => assert_eq!(rendered, text, "{} {}", case["template"], case["conversation"]),
            (_, Err(TextError::Refused { message, .. })) => assert_eq!(message.as_str(), case["error"], "{}", case["template"]),
            _ => panic!("{case}: {rendered:?}"),
        }
    }
}

#[test]
fn the_built_in_templates_know_all_three_roles() {
    let messages =
        [("system", "Be brief."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Bye")].map(|(role, text)| Message::new(role, text));
    for name in ChatTemplate::names() {
        let text = ChatTemplate::named(name, Some("<s>"), Some("</s>")).unwrap().render(&messages, &options(true)).unwrap();
        let places: Vec<_> = messages.iter().map(|message| text.find(&message.content).expect(name)).collect();
        assert!(places.is_sorted(), "{name}: {text}");
        let without = ChatTemplate::named(name, None, None).unwrap().render(&messages, &options(false)).unwrap();
        assert!(!without.contains("None") && !without.contains("<s>"), "{name}: {without}");
    }
    assert_eq!(
        ChatTemplate::named("llama2", Some("<s>"), Some("</s>")).unwrap().render(&messages, &options(true)).unwrap(),
        "<s>[INST] <<SYS>>\nBe brief.\n<</SYS>>\n\nHi [/INST] Hello. </s><s>[INST] Bye [/INST]"
    );
    let unknown = ChatTemplate::named("chatlm", None, None).unwrap_err().to_string();
    assert!(unknown.contains("chatml"), "{unknown}");
}

#[test]
fn errors_name_the_line_and_the_variable() {
    let undefined = render("{% for m in messages %}\n{{ m.role }}\n{{ person.name }}\n{% endfor %}").unwrap_err().to_string();
    assert!(undefined.contains("line 3") && undefined.contains("person"), "{undefined}");
    let syntax = render("one\n{% if messages %}\n{{ 1 +* 2 }}").unwrap_err();
    assert!(matches!(syntax, TextError::TemplateSyntax { line: 3, .. }), "{syntax}");
    let filter = render("\n{{ messages | nosuch }}").unwrap_err().to_string();
    assert!(filter.contains("line 2") && filter.contains("nosuch"), "{filter}");
    let refused = render("{% macro no() %}\n{{ raise_exception('not ' ~ messages[0].role) }}{% endmacro %}{{ no() }}").unwrap_err();
    assert!(matches!(&refused, TextError::Refused { message, .. } if message == "not user"), "{refused}");
}

#[test]
fn what_real_templates_use_works() {
    let cases = [
        ("{{ messages[0].content.split(' ')[-1].upper() }}", "THERE"),
        ("{{ 'x'.join(['a', 'b']) ~ '  c '.strip() }}{{ 'abc'.startswith('ab') }}", "axbcTrue"),
        (
            concat!(
                "{% set ns = namespace(n=0) %}{% for i in range(9) %}{% if i == 2 %}{% continue %}{% elif i == 5 %}{% break %}{% endif %}",
                "{% set ns.n = ns.n + i %}{% endfor %}{{ ns.n }}"
            ),
            "8",
        ),
        ("{{ {'a': '<b> é', 'n': none, 'l': [1, 2.5, true]} | tojson }}", r#"{"a": "<b> é", "n": null, "l": [1, 2.5, true]}"#),
        ("{{ [{'b': 1, 'a': []}] | tojson(indent=2, sort_keys=true) }}", "[\n  {\n    \"a\": [],\n    \"b\": 1\n  }\n]"),
        ("{{ ['é'] | tojson(ensure_ascii=true) }}{{ [1, 2] | tojson(separators=(',', ':')) }}", "[\"\\u00e9\"][1,2]"),
        ("{{ true }} {{ none }} {{ ['a', false] }} {{ nothing }}|{{ nothing is defined }}", "True None ['a', False] |False"),
        ("{{ strftime_now('%d %b %Y') }}", "06 Jul 2024"),
        ("{% generation %}a{% endgeneration %}{%- generation -%} b {%- endgeneration -%} c", "abc"),
        ("  {% if true %}\nx\n  {% endif %}\ny", "x\ny"),
        (
            "{% for m in messages[::-1] %}{{ m.role }}{% endfor %}{{ messages | selectattr('role', 'equalto', 'user') | list | length }}",
            "user1",
        ),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}{{ v }}{% endfor %}{{ {'a': 2}.get('b', 3) }}", "a13"),
        ("{{ tools is none }}{{ 'yes' if tools is iterable else 'no' }}{{ bos_token }}{{ eos_token }}", "Trueno<s></s>"),
    ];
    for (source, expected) in cases {
        assert_eq!(render(source).unwrap_or_else(|error| panic!("{source}: {error}")), expected, "{source}");
    }
}

#[test]
fn variables_of_the_caller_reach_the_template() {
    let Value::Object(variables) = json!({"enable_thinking": false, "tools": [{"name": "f"}]}) else { unreachable!() };
    let options = RenderOptions { variables, ..options(false) };
    let template = template("{{ enable_thinking }} {{ tools[0].name }} {{ add_generation_prompt }}").unwrap();
    assert_eq!(template.render(&[], &options).unwrap(), "False f False");
}

#[test]
fn a_hostile_template_ends_soon_and_stays_small() {
    let endless = [
        "{% for a in range(100000) %}{% for b in range(100000) %}x{% endfor %}{% endfor %}",
        "{% set ns = namespace(x='0123456789') %}{% for i in range(64) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}{{ ns.x }}",
        "{{ 'x' * 99999999 * 99999999 }}",
        "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
        "{% for a in range(1000000) %}{{ messages | tojson }}{% endfor %}",
    ];
    for source in endless {
        let started = std::time::Instant::now();
        assert!(render(source).is_err(), "{source}");
        assert!(started.elapsed().as_secs() < 20, "{source} took {:?}", started.elapsed());
    }
}
