//! Random trees: every form of the language, with empty spans, nested a few levels deep. Parentheses
//! are put at random, not where the grammar needs them: that is the printer's part.

use cellc::source::Span;
use cellc::syntax::ast::*;
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

const RESERVED: [&str; 16] = [
    "use",
    "let",
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
            "concat", "mul", "to", "at", "on", "skip", "published", "params", "earlier_", "unused", "x", "opx", "notx", "_",
        ])
        .prop_map(str::to_owned),
        3 => "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
    ]
    .prop_filter("reserved", |name| !RESERVED.contains(&name.as_str()))
}

/// A name that does not read as a pair where a value stands; `out` is one there.
fn value_name() -> impl Strategy<Value = String> {
    prop_oneof![1 => Just("out".to_owned()), 8 => name()]
        .prop_filter("a pair", |name| !reads_as_pair(name))
}

fn reads_as_pair(name: &str) -> bool {
    let is_side = |side: &str| {
        side.bytes().all(|b| b.is_ascii_digit())
            || matches!(side.as_bytes(), [b'a'..=b'w' | b'y' | b'z'])
    };
    name.split_once('x').is_some_and(|(height, width)| is_side(height) && is_side(width))
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

fn scale() -> impl Strategy<Value = ScaleLit> {
    (number(), number()).prop_map(|(n, f)| ScaleLit { n, f, span: none() })
}

fn alternative<T: std::fmt::Debug>(
    item: impl Strategy<Value = T>,
) -> impl Strategy<Value = Alternative<T>> {
    (item, of(number())).prop_map(|(item, weight)| Alternative { item, weight })
}

/// A name that can stand where a value does: `axa` would be a pair there.
fn plain_ident() -> impl Strategy<Value = Ident> {
    ident().prop_filter("a pair", |ident| !reads_as_pair(&ident.name))
}

fn constant() -> impl Strategy<Value = Constant> {
    (plain_ident(), value()).prop_map(|(name, value)| Constant { name, value, span: none() })
}

fn require() -> impl Strategy<Value = Require> {
    (value(), of(string())).prop_map(|(cond, message)| Require { cond, message, span: none() })
}

fn string() -> impl Strategy<Value = StringLit> {
    "[ !#-~éß]{0,20}".prop_map(|text| StringLit { text, span: none() })
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
        (plain_ident(), ident(), scale()).prop_map(|(count, net, scale)| ValueKind::Cost {
            count,
            net,
            scale
        }),
    ];
    let op = prop::sample::select(vec![
        ValueOp::Add,
        ValueOp::Sub,
        ValueOp::Mul,
        ValueOp::Div,
        ValueOp::Rem,
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
                1 => vec(alternative(inner.clone()), 0..4).prop_map(ValueKind::Choice),
                1 => (attr_name(), vec(inner, 0..3))
                    .prop_map(|(function, args)| ValueKind::Call { function, args }),
            ]
            .prop_map(|kind| Value { kind, span: none() })
        })
        .boxed()
}

/// Any operation reference.
pub fn op_ref() -> BoxedStrategy<OpRef> {
    let named = (ident(), attrs()).prop_map(|(name, attrs)| OpRefKind::Named { name, attrs });
    prop_oneof![4 => named, 1 => set_name().prop_map(OpRefKind::Set)]
        .prop_map(|kind| OpRef { kind, span: none() })
        .prop_recursive(2, 6, 3, |inner| {
            vec(alternative(inner), 0..4)
                .prop_map(|options| OpRef { kind: OpRefKind::Choice(options), span: none() })
        })
        .boxed()
}

fn attrs() -> impl Strategy<Value = Vec<Attr>> {
    let attr = (of(attr_name()), value()).prop_map(|(name, value)| Attr { name, value });
    vec(attr, 0..3)
}

fn stages(most: usize) -> impl Strategy<Value = Vec<OpRef>> {
    vec(op_ref(), 1..most)
}

fn combine() -> impl Strategy<Value = Combine> {
    let op = prop::sample::select(vec![CombineOp::Add, CombineOp::Mul, CombineOp::Concat]);
    let named = (ident(), attrs()).prop_filter("an operator", |(name, attrs)| {
        !attrs.is_empty() || !["mul", "concat"].contains(&name.name.as_str())
    });
    let named = named.prop_map(|(name, attrs)| {
        CombineRef::Named(OpRef { kind: OpRefKind::Named { name, attrs }, span: none() })
    });
    let option = prop_oneof![
        2 => op.clone().prop_map(|op| CombineRef::Op { op, span: none() }),
        1 => named,
    ];
    let options = vec(alternative(option), 0..4);
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
                1 => vec(alternative(inner), 0..3).prop_map(ExprKind::Choice),
            ]
            .prop_map(|kind| Expr { kind, span: none() })
        })
        .boxed()
}

fn op_block() -> impl Strategy<Value = Vec<OpStmt>> {
    let before = prop_oneof![
        constant().prop_map(OpStmt::Constant),
        require().prop_map(OpStmt::Require),
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

fn params() -> impl Strategy<Value = Vec<Param>> {
    vec((attr_name(), of(value())).prop_map(|(name, default)| Param { name, default }), 0..4)
}

fn op() -> impl Strategy<Value = Op> {
    let body = prop_oneof![expr().prop_map(OpBody::Short), op_block().prop_map(OpBody::Block)];
    (ident(), params(), vec(ident(), 1..4), body).prop_map(|(name, params, args, body)| Op {
        name,
        params,
        args,
        body,
        span: none(),
    })
}

fn cell_use() -> impl Strategy<Value = CellUse> {
    (ident(), attrs()).prop_map(|(name, attrs)| CellUse { name, attrs, span: none() })
}

fn cell() -> impl Strategy<Value = Cell> {
    let output = (expr(), of(number())).prop_map(|(value, to)| Output { value, to });
    let stmt = prop_oneof![
        4 => (ident(), expr()).prop_map(|(name, value)| {
            CellStmt::Let { name, value, span: none() }
        }),
        1 => constant().prop_map(CellStmt::Constant),
        1 => require().prop_map(CellStmt::Require),
        1 => (number(), ident(), expr()).prop_map(|(count, name, value)| {
            CellStmt::Repeat { count, name, value, span: none() }
        }),
        1 => vec(output, 1..4).prop_map(|outputs| CellStmt::Out { outputs, span: none() }),
    ];
    let body = prop_oneof![
        1 => cell_use().prop_map(CellBody::SameAs),
        3 => vec(stmt, 0..6).prop_map(CellBody::Block),
    ];
    (ident(), params(), vec(ident(), 1..4), of(number()), body).prop_map(
        |(name, params, inputs, stride, body)| Cell {
            name,
            params,
            inputs,
            stride,
            body,
            span: none(),
        },
    )
}

fn space() -> impl Strategy<Value = Space> {
    let options = (set_name(), vec(alternative(op_ref()), 0..12))
        .prop_map(|(name, options)| SpaceItem::Options { name, options, span: none() });
    let item = prop_oneof![
        2 => options,
        2 => cell().prop_map(SpaceItem::Cell),
        1 => op().prop_map(SpaceItem::Op),
        1 => constant().prop_map(SpaceItem::Constant),
        1 => require().prop_map(SpaceItem::Require),
    ];
    (ident(), vec(item, 0..4)).prop_map(|(name, items)| Space { name, items, span: none() })
}

fn stack_entry() -> impl Strategy<Value = StackEntry> {
    let width =
        prop_oneof![number().prop_map(WidthChange::Times), value().prop_map(WidthChange::At),];
    let cell = (any::<bool>(), cell_use(), of(number()), of(width)).prop_filter_map(
        "a cell called like what may follow `skip`",
        |(is_skipped, cell, stride, width)| {
            let is_word = ["skip", "at", "stride"].contains(&cell.name.name.as_str());
            (!is_word).then_some(StackedCell { is_skipped, cell, stride, width })
        },
    );
    let entry = (of(value()), cell).prop_map(|(times, cell)| StackEntry {
        times,
        what: StackItem::Cell(cell),
        span: none(),
    });
    entry.prop_recursive(2, 6, 3, |inner| {
        (value(), vec(inner, 1..4)).prop_map(|(times, entries)| StackEntry {
            times: Some(times),
            what: StackItem::Group(entries),
            span: none(),
        })
    })
}

fn net() -> impl Strategy<Value = Net> {
    let item = prop_oneof![
        constant().prop_map(NetItem::Constant),
        require().prop_map(NetItem::Require),
        (number(), number(), number()).prop_map(|(height, width, channels)| NetItem::Input {
            dims: [height, width, channels],
            span: none(),
        }),
        number().prop_map(|count| NetItem::Classes { count, span: none() }),
        stages(6).prop_map(|stages| NetItem::Stem { stages, span: none() }),
        vec(stack_entry(), 1..8).prop_map(|entries| NetItem::Stack { entries, span: none() }),
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
    let image = of([number(), number(), number()]);
    (ident(), scale(), image, of(number()), vec(claim, 1..9), vec(published(), 0..3)).prop_map(
        |(net, scale, image, classes, claims, published)| Expect {
            net,
            scale,
            image,
            classes,
            claims,
            published,
            span: none(),
        },
    )
}

fn published() -> impl Strategy<Value = Published> {
    let figure = (0..100_000_000_u64, 0..10_u32, prop::sample::select(Unit::ALL.to_vec()))
        .prop_map(|(digits, decimals, unit)| Figure {
            digits,
            decimals: decimals.min(unit.zeros()),
            unit,
            span: none(),
        });
    let figure = (ident(), figure).prop_map(|(name, value)| PublishedFigure { name, value });
    (string(), of(string()), vec(figure, 1..6)).prop_map(|(source, name, figures)| Published {
        source,
        name,
        figures,
        span: none(),
    })
}

/// Any file, without comments.
pub fn file() -> impl Strategy<Value = File> {
    let item = prop_oneof![
        1 => string().prop_map(|path| Item::Use(Use { path, span: none() })),
        1 => constant().prop_map(Item::Constant),
        2 => op().prop_map(Item::Op),
        2 => cell().prop_map(Item::Cell),
        1 => space().prop_map(Item::Space),
        1 => net().prop_map(Item::Net),
        1 => expect().prop_map(Item::Expect),
    ];
    vec(item, 0..5).prop_map(|items| File { items, comments: Vec::new(), blank_lines: Vec::new() })
}
