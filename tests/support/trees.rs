//! Random trees: every form of the language, with empty spans, nested a few levels deep. Parentheses
//! are put at random, not where the grammar needs them: that is the printer's part.

use cellc::source::Span;
use cellc::syntax::ast::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

const RESERVED: [&str; 14] = [
    "op",
    "cell",
    "space",
    "net",
    "expect",
    "when",
    "otherwise",
    "require",
    "repeat",
    "as",
    "out",
    "and",
    "or",
    "not",
];

fn none() -> Span {
    Span::default()
}

/// A name; words that are keywords in some other place come up often.
pub fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        2 => prop::sample::select(vec![
            "stride", "input", "classes", "stem", "stack", "head", "aux", "after", "stage",
            "concat", "mul", "earlier_", "unused", "x", "opx", "notx", "_",
        ])
        .prop_map(str::to_owned),
        3 => "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
    ]
    .prop_filter("reserved", |name| !RESERVED.contains(&name.as_str()))
}

/// A name that does not read as a pair where a value stands; `out` is one there.
fn value_name() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just("out".to_owned()), 8 => name()].prop_filter("a pair", |name| {
        let is_side = |side: &str| {
            side.bytes().all(|b| b.is_ascii_digit())
                || matches!(side.as_bytes(), [b'a'..=b'w' | b'y' | b'z'])
        };
        !name.split_once('x').is_some_and(|(height, width)| is_side(height) && is_side(width))
    })
}

fn ident() -> impl Strategy<Value = Ident> {
    name().prop_map(|name| Ident { name, span: none() })
}

fn set_name() -> impl Strategy<Value = Ident> {
    ident().prop_filter("`?earlier` is no set", |ident| ident.name != "earlier")
}

fn attr_name() -> impl Strategy<Value = Ident> {
    value_name().prop_map(|name| Ident { name, span: none() })
}

fn number() -> impl Strategy<Value = Number> {
    prop_oneof![0u64..20, 9_990u64..10_010, any::<u64>()]
        .prop_map(|value| Number { value, span: none() })
}

/// Any static value.
pub fn value() -> BoxedStrategy<Value> {
    let side =
        prop_oneof![(0u64..20).prop_map(ValueKind::Number), "[a-wyz]".prop_map(ValueKind::Name),]
            .prop_map(|kind| Box::new(Value { kind, span: none() }));
    let leaf = prop_oneof![
        number().prop_map(|number| ValueKind::Number(number.value)),
        value_name().prop_map(ValueKind::Name),
        (side.clone(), side).prop_map(|(height, width)| ValueKind::Pair(height, width)),
    ];
    let op = prop::sample::select(vec![
        ValueOp::Add,
        ValueOp::Sub,
        ValueOp::Mul,
        ValueOp::Div,
        ValueOp::Eq,
        ValueOp::Ne,
        ValueOp::Lt,
        ValueOp::Le,
        ValueOp::Gt,
        ValueOp::Ge,
        ValueOp::And,
        ValueOp::Or,
    ]);
    leaf.prop_map(|kind| Value { kind, span: none() })
        .prop_recursive(4, 16, 3, move |inner| {
            let boxed = inner.clone().prop_map(Box::new);
            prop_oneof![
                4 => (op.clone(), boxed.clone(), boxed.clone())
                    .prop_map(|(op, left, right)| ValueKind::Binary { op, left, right }),
                1 => boxed.clone().prop_map(ValueKind::Not),
                1 => boxed.prop_map(ValueKind::Paren),
                1 => vec(inner.clone(), 0..4).prop_map(ValueKind::Choice),
                1 => (attr_name(), vec(inner, 0..3))
                    .prop_map(|(function, args)| ValueKind::Call { function, args }),
            ]
            .prop_map(|kind| Value { kind, span: none() })
        })
        .boxed()
}

/// Any operation reference.
pub fn op_ref() -> BoxedStrategy<OpRef> {
    let attr = (of(attr_name()), value()).prop_map(|(name, value)| Attr { name, value });
    let named =
        (ident(), vec(attr, 0..3)).prop_map(|(name, attrs)| OpRefKind::Named { name, attrs });
    prop_oneof![4 => named, 1 => set_name().prop_map(OpRefKind::Set)]
        .prop_map(|kind| OpRef { kind, span: none() })
        .prop_recursive(2, 6, 3, |inner| {
            vec(inner, 0..4)
                .prop_map(|options| OpRef { kind: OpRefKind::Choice(options), span: none() })
        })
        .boxed()
}

fn stages(most: usize) -> impl Strategy<Value = Vec<OpRef>> {
    vec(op_ref(), 1..most)
}

fn combine() -> impl Strategy<Value = Combine> {
    let op = prop::sample::select(vec![CombineOp::Add, CombineOp::Mul, CombineOp::Concat]);
    let options = vec(op.clone().prop_map(|op| (op, none())), 0..4);
    prop_oneof![
        2 => op.prop_map(Combine::Fixed),
        1 => options.prop_map(|options| Combine::Choice { options, span: none() }),
    ]
}

/// Any tensor expression.
pub fn expr() -> BoxedStrategy<Expr> {
    prop_oneof![6 => name().prop_map(ExprKind::Name), 1 => Just(ExprKind::Earlier)]
        .prop_map(|kind| Expr { kind, span: none() })
        .prop_recursive(4, 24, 4, |inner| {
            let boxed = inner.clone().prop_map(Box::new);
            prop_oneof![
                3 => (combine(), boxed.clone(), boxed.clone())
                    .prop_map(|(combine, left, right)| ExprKind::Binary { combine, left, right }),
                3 => (op_ref(), vec(inner.clone(), 0..4))
                    .prop_map(|(op, args)| ExprKind::Call { op, args }),
                2 => (boxed.clone(), stages(9))
                    .prop_map(|(input, stages)| ExprKind::Pipe { input, stages }),
                1 => boxed.prop_map(ExprKind::Paren),
                1 => vec(inner, 0..3).prop_map(ExprKind::Choice),
            ]
            .prop_map(|kind| Expr { kind, span: none() })
        })
        .boxed()
}

fn op_block() -> impl Strategy<Value = Vec<OpStmt>> {
    let message = of("[ !#-~éß]{0,20}".prop_map(|text| StringLit { text, span: none() }));
    let before = prop_oneof![
        (value(), message).prop_map(|(cond, message)| {
            OpStmt::Require(Require { cond, message, span: none() })
        }),
        (ident(), expr()).prop_map(|(name, value)| OpStmt::Let { name, value, span: none() }),
    ];
    let arms = (vec((value(), expr()), 1..4), of(expr())).prop_map(|(arms, otherwise)| {
        let arms = arms.into_iter().map(|(cond, value)| OpStmt::When { cond, value, span: none() });
        let otherwise = otherwise.map(|value| OpStmt::Otherwise { value, span: none() });
        arms.chain(otherwise).collect()
    });
    let end = prop_oneof![expr().prop_map(|value| vec![OpStmt::Result(value)]), arms];
    (vec(before, 0..3), end).prop_map(|(mut stmts, end)| {
        stmts.extend(end);
        stmts
    })
}

fn op() -> impl Strategy<Value = Op> {
    let param = (attr_name(), of(value())).prop_map(|(name, default)| Param { name, default });
    let body = prop_oneof![expr().prop_map(OpBody::Short), op_block().prop_map(OpBody::Block)];
    (ident(), vec(param, 0..4), vec(ident(), 1..4), body)
        .prop_map(|(name, params, args, body)| Op { name, params, args, body, span: none() })
}

fn cell() -> impl Strategy<Value = Cell> {
    let stmt = prop_oneof![
        4 => (ident(), expr()).prop_map(|(name, value)| {
            CellStmt::Let { name, value, span: none() }
        }),
        1 => (number(), ident(), expr()).prop_map(|(count, name, value)| {
            CellStmt::Repeat { count, name, value, span: none() }
        }),
        1 => expr().prop_map(|value| CellStmt::Out { value, span: none() }),
    ];
    let body = prop_oneof![
        1 => ident().prop_map(CellBody::SameAs),
        3 => vec(stmt, 0..6).prop_map(CellBody::Block),
    ];
    (ident(), vec(ident(), 1..4), of(number()), body)
        .prop_map(|(name, inputs, stride, body)| Cell { name, inputs, stride, body, span: none() })
}

fn space() -> impl Strategy<Value = Space> {
    let options = (set_name(), vec(op_ref(), 0..12))
        .prop_map(|(name, options)| SpaceItem::Options { name, options, span: none() });
    (ident(), vec(prop_oneof![options, cell().prop_map(SpaceItem::Cell)], 0..4))
        .prop_map(|(name, items)| Space { name, items, span: none() })
}

fn net() -> impl Strategy<Value = Net> {
    let entry = (of(value()), ident(), of(number())).prop_map(|(times, cell, widen)| StackEntry {
        times,
        cell,
        widen,
        span: none(),
    });
    let item = prop_oneof![
        (number(), number(), number()).prop_map(|(height, width, channels)| NetItem::Input {
            dims: [height, width, channels],
            span: none(),
        }),
        number().prop_map(|count| NetItem::Classes { count, span: none() }),
        stages(6).prop_map(|stages| NetItem::Stem { stages, span: none() }),
        vec(entry, 1..8).prop_map(|entries| NetItem::Stack { entries, span: none() }),
        stages(6).prop_map(|stages| NetItem::Head { stages, span: none() }),
        (number(), stages(16)).prop_map(|(stage, stages)| NetItem::Aux {
            stage,
            stages,
            span: none()
        }),
    ];
    (ident(), [attr_name(), attr_name()], vec(item, 0..6))
        .prop_map(|(name, params, items)| Net { name, params: params.into(), items, span: none() })
        .prop_filter("a net's names are not `out`", |net| {
            net.params.iter().all(|name| name.name != "out")
        })
}

fn expect() -> impl Strategy<Value = Expect> {
    let claim = (ident(), number()).prop_map(|(name, value)| Claim { name, value });
    (ident(), number(), number(), vec(claim, 1..9)).prop_map(|(net, n, f, claims)| Expect {
        net,
        scale: ScaleLit { n, f, span: none() },
        claims,
        span: none(),
    })
}

/// Any file, without comments.
pub fn file() -> impl Strategy<Value = File> {
    let item = prop_oneof![
        2 => op().prop_map(Item::Op),
        2 => cell().prop_map(Item::Cell),
        1 => space().prop_map(Item::Space),
        1 => net().prop_map(Item::Net),
        1 => expect().prop_map(Item::Expect),
    ];
    vec(item, 0..5).prop_map(|items| File { items, comments: Vec::new(), blank_lines: Vec::new() })
}
