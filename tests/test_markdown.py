from styleclip_rt.markdown import line, table


def test_a_table_has_a_head_a_rule_and_its_rows() -> None:
    assert table(("a", "b"), [("1", "2"), ("x|y", "")]) == (
        "| a | b |\n| --- | --- |\n| 1 | 2 |\n| x/y |  |\n"
    )
    assert line(["1"]) == "| 1 |"
