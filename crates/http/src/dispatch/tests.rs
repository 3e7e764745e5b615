use super::*;

#[test]
fn a_percent_sign_needs_two_hex_digits_behind_it() {
    for well in ["", "a", "%20", "a%2Fb%c3%A9"] {
        assert!(is_well_encoded(well.as_bytes()), "{well}");
    }
    for badly in ["%", "%2", "%g0", "a%2", "%%20", "%0g"] {
        assert!(!is_well_encoded(badly.as_bytes()), "{badly}");
    }
}

#[test]
fn only_a_post_can_stand_for_another_method() {
    let parts = |method: &str, wanted: &str| {
        let request = Request::builder().method(method).header(METHOD_OVERRIDE, wanted);
        let mut parts = request.body(()).unwrap().into_parts().0;
        override_method(&mut parts);
        parts.method.to_string()
    };
    assert_eq!(parts("POST", "COPY"), "COPY");
    assert_eq!(parts("POST", "PATCH"), "POST");
    assert_eq!(parts("GET", "DELETE"), "GET");
}
