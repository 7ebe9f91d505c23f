//! Figures for a report: lines over an axis, and grids of shares, drawn by `plotters` as SVG or PNG. Letters come from a font in the
//! program, so that a machine without any draws the same figure.

mod axis;

use axis::{Ruler, Scale, spanned};
use plotters::coord::Shift;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};
use plotters::style::{FontStyle, register_font};

/// Roboto Regular (Copyright 2011 Google Inc., Apache License 2.0), cut down by `pyftsubset` to Latin and Greek letters and signs.
const ROBOTO: &[u8] = include_bytes!("roboto.ttf");
const FONT: &str = "sans-serif";

const WIDTH: u32 = 960;
const TITLE_HEIGHT: u32 = 44;
const PANEL_HEIGHT: u32 = 440;
/// The strip to the right of a panel's lines in which they are named.
const LEGEND_WIDTH: u32 = 220;
const LEGEND_LETTERS: usize = 26;

/// Okabe and Ito's colours, which people with any sight of colours tell apart, and two more.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(230, 159, 0),
    RGBColor(0, 0, 0),
    RGBColor(140, 140, 140),
];

/// Panels, one below the other.
#[derive(Debug, Clone, Default)]
pub struct Figure {
    /// Above all panels.
    pub title: String,
    /// At least one, to be of use.
    pub panels: Vec<Panel>,
}

/// A panel.
#[derive(Debug, Clone)]
pub enum Panel {
    /// Lines over an axis.
    Lines(Lines),
    /// Shares of 0 to 1 over two lists.
    Grid(Grid),
}

/// Lines over an axis.
#[derive(Debug, Clone, Default)]
pub struct Lines {
    /// Above the panel.
    pub title: String,
    /// What runs to the right, with its unit.
    pub x: Axis,
    /// What runs upwards, with its unit.
    pub y: Axis,
    /// The lines.
    pub lines: Vec<Line>,
    /// Places on the x axis that are worth a mark: the trained length, a cache's bound.
    pub marks: Vec<(f64, String)>,
}

/// An axis.
#[derive(Debug, Clone, Default)]
pub struct Axis {
    /// Name and unit.
    pub label: String,
    /// Whether equal ways are equal factors. An axis that isn't told to becomes so where its numbers differ by large factors.
    pub logarithmic: bool,
}

/// A line. Points that are no numbers break it.
#[derive(Debug, Clone, Default)]
pub struct Line {
    /// For the legend.
    pub name: String,
    /// Its points, from left to right.
    pub points: Vec<(f64, f64)>,
}

/// Shares over two lists.
#[derive(Debug, Clone, Default)]
pub struct Grid {
    /// Above the panel.
    pub title: String,
    /// What runs to the right, and its values.
    pub x: (String, Vec<String>),
    /// What runs downwards, and its values.
    pub y: (String, Vec<String>),
    /// `[y][x]`; what was not measured is left white.
    pub shares: Vec<Vec<Option<f64>>>,
}

impl Axis {
    /// With a name and a unit.
    pub fn new(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), logarithmic: false }
    }

    /// Of equal factors.
    pub fn logarithmic(label: impl Into<String>) -> Axis {
        Axis { label: label.into(), logarithmic: true }
    }
}

/// The figure as SVG.
pub fn svg(figure: &Figure) -> Result<String, String> {
    let mut text = String::new();
    paint(SVGBackend::with_string(&mut text, size(figure)), figure)?;
    Ok(text)
}

/// The figure as PNG.
pub fn png(figure: &Figure) -> Result<Vec<u8>, String> {
    let (width, height) = size(figure);
    let mut pixels = vec![0; (width * height * 3) as usize];
    paint(BitMapBackend::with_buffer(&mut pixels, (width, height)), figure)?;
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let mut writer = encoder.write_header().map_err(|error| error.to_string())?;
    writer.write_image_data(&pixels).map_err(|error| error.to_string())?;
    writer.finish().map_err(|error| error.to_string())?;
    Ok(bytes)
}

fn size(figure: &Figure) -> (u32, u32) {
    (WIDTH, TITLE_HEIGHT + PANEL_HEIGHT * figure.panels.len().max(1) as u32)
}

/// A surface that is drawn on.
type Area<'a, B> = DrawingArea<B, Shift>;

fn paint<B: DrawingBackend>(backend: B, figure: &Figure) -> Result<(), String> {
    register_font(FONT, FontStyle::Normal, ROBOTO).map_err(|_| "the font can't be read".to_owned())?;
    let root = backend.into_drawing_area();
    draw(&root, figure).and_then(|()| root.present()).map_err(|error| error.to_string())
}

fn draw<B: DrawingBackend>(root: &Area<'_, B>, figure: &Figure) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    root.fill(&WHITE)?;
    let body = root.titled(&figure.title, (FONT, 22))?;
    for (area, panel) in body.split_evenly((figure.panels.len().max(1), 1)).iter().zip(&figure.panels) {
        match panel {
            Panel::Lines(lines) => draw_lines(area, lines)?,
            Panel::Grid(grid) => draw_grid(area, grid)?,
        }
    }
    Ok(())
}

fn draw_lines<B: DrawingBackend>(area: &Area<'_, B>, panel: &Lines) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let (area, legend) = area.split_horizontally(WIDTH - LEGEND_WIDTH);
    draw_legend(&legend, &panel.lines)?;
    let points = || panel.lines.iter().flat_map(|line| line.points.iter().copied());
    let (x, y) = (Scale::over(&panel.x, points().map(|(x, _)| x)), Scale::over(&panel.y, points().map(|(_, y)| y)));
    let mut chart = ChartBuilder::on(&area)
        .caption(&panel.title, (FONT, 18))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(46)
        .y_label_area_size(74)
        .build_cartesian_2d(x.ruler(), y.ruler())?;
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(BLACK.mix(0.12))
        .x_desc(&panel.x.label)
        .y_desc(&panel.y.label)
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .x_label_formatter(&|&at| x.written(at))
        .y_label_formatter(&|&at| y.written(at))
        .draw()?;
    for (at, what) in panel.marks.iter().filter(|(at, _)| x.shows(*at)) {
        let (at, bottom, top) = (x.place(*at), y.range().start, y.range().end);
        let style = BLACK.mix(0.5).stroke_width(1);
        chart.draw_series(DashedLineSeries::new([(at, bottom), (at, top)], 5, 4, style))?;
        let words = (FONT, 13).into_font().color(&BLACK.mix(0.7)).pos(Pos::new(HPos::Left, VPos::Bottom));
        chart.draw_series([EmptyElement::at((at, bottom)) + Text::new(what.clone(), (4, -4), words)])?;
    }
    for (index, line) in panel.lines.iter().enumerate() {
        let colour = COLOURS[index % COLOURS.len()];
        let size = if line.points.len() > 40 { 0 } else { 3 };
        for run in line.points.split(|(x, y)| !x.is_finite() || !y.is_finite()).filter(|run| !run.is_empty()) {
            let run = run.iter().map(|&(at, value)| (x.place(at), y.place(value)));
            chart.draw_series(LineSeries::new(run, colour.stroke_width(2)).point_size(size))?;
        }
    }
    Ok(())
}

/// The lines' colours and names, one below the other, as many as there is room for.
fn draw_legend<B: DrawingBackend>(area: &Area<'_, B>, lines: &[Line]) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    for (index, line) in lines.iter().enumerate() {
        let y = 60 + 20 * index as i32;
        if y > PANEL_HEIGHT as i32 - 40 {
            return area.draw(&Text::new(format!("and {} more", lines.len() - index), (6, y - 7), (FONT, 14)));
        }
        area.draw(&PathElement::new([(6, y), (26, y)], COLOURS[index % COLOURS.len()].stroke_width(3)))?;
        let name = match line.name.char_indices().nth(LEGEND_LETTERS) {
            Some((end, _)) => format!("{}…", &line.name[..end]),
            None => line.name.clone(),
        };
        area.draw(&Text::new(name, (32, y - 7), (FONT, 14)))?;
    }
    Ok(())
}

fn draw_grid<B: DrawingBackend>(area: &Area<'_, B>, grid: &Grid) -> Result<(), DrawingAreaErrorKind<B::ErrorType>> {
    let (columns, rows) = (grid.x.1.len() as f64, grid.y.1.len() as f64);
    let middles = |n: f64| (0..n as usize).map(|i| i as f64 + 0.5).collect::<Vec<_>>();
    let named = |names: &[String], at: f64| names.get(at as usize).cloned().unwrap_or_default();
    let mut chart = ChartBuilder::on(area)
        .caption(&grid.title, (FONT, 18))
        .margin(12)
        .margin_right(24)
        .x_label_area_size(46)
        .y_label_area_size(74)
        .build_cartesian_2d(
            Ruler { range: 0.0..columns.max(1.0), ticks: middles(columns) },
            // The first row is on top.
            Ruler { range: rows.max(1.0)..0.0, ticks: middles(rows) },
        )?;
    chart
        .configure_mesh()
        .disable_mesh()
        .x_desc(&grid.x.0)
        .y_desc(&grid.y.0)
        .axis_desc_style((FONT, 16))
        .label_style((FONT, 14))
        .x_label_formatter(&|&at| named(&grid.x.1, at))
        .y_label_formatter(&|&at| named(&grid.y.1, at))
        .draw()?;
    for (row, shares) in grid.shares.iter().enumerate() {
        for (column, share) in shares.iter().enumerate() {
            let Some(share) = share else { continue };
            let (x, y) = (column as f64, row as f64);
            chart.draw_series([Rectangle::new([(x, y), (x + 1.0, y + 1.0)], shade(*share).filled())])?;
            chart.draw_series([Rectangle::new([(x, y), (x + 1.0, y + 1.0)], WHITE.stroke_width(2))])?;
            let ink = if (0.25..0.75).contains(share) { BLACK } else { WHITE };
            let words = (FONT, 16).into_font().color(&ink).pos(Pos::new(HPos::Center, VPos::Center));
            chart.draw_series([Text::new(format!("{:.0} %", share * 100.0), (x + 0.5, y + 0.5), words)])?;
        }
    }
    Ok(())
}

/// From vermilion (0) over light grey to blue (1).
fn shade(share: f64) -> RGBColor {
    let (from, to, part) = match share < 0.5 {
        true => (COLOURS[1], RGBColor(235, 235, 235), share * 2.0),
        false => (RGBColor(235, 235, 235), COLOURS[0], share * 2.0 - 1.0),
    };
    let mix = |a: u8, b: u8| spanned(a.into(), b.into(), part).round() as u8;
    RGBColor(mix(from.0, to.0), mix(from.1, to.1), mix(from.2, to.2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure() -> Figure {
        let points = vec![(1.0, 20.0), (100.0, f64::NAN), (200.0, 25.0), (300.0, f64::INFINITY), (400.0, 5000.0)];
        let lines = Lines {
            title: "Perplexity".into(),
            x: Axis::new("position (tokens)"),
            y: Axis::new("perplexity"),
            lines: vec![Line { name: "rope & <alibi>".into(), points }, Line::default()],
            marks: vec![(256.0, "bound".into()), (1e9, "far away".into())],
        };
        let names = |n: usize| (0..n).map(|i| i.to_string()).collect();
        let shares = vec![vec![Some(0.0), Some(1.0)], vec![Some(0.5), None]];
        let grid = Grid { title: "Found".into(), x: ("length".into(), names(2)), y: ("depth".into(), names(2)), shares };
        Figure { title: "a figure".into(), panels: vec![Panel::Lines(lines), Panel::Grid(grid)] }
    }

    #[test]
    fn an_svg_names_its_axes_and_its_lines() {
        let text = svg(&figure()).unwrap();
        for part in ["<svg", "position (tokens)", "perplexity", "rope &amp; &lt;alibi&gt;", "bound", "100 %", "depth", "</svg>"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(!text.contains("far away"));
    }

    #[test]
    fn a_png_is_an_image_with_ink_on_it() {
        let bytes = png(&figure()).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        assert_eq!((reader.info().width, reader.info().height), size(&figure()));
        assert!(pixels.iter().filter(|&&pixel| pixel < 128).count() > 5000);
    }

    #[test]
    fn nothing_measured_is_still_a_figure() {
        let empty = Figure { title: "nothing".into(), panels: vec![Panel::Lines(Lines::default()), Panel::Grid(Grid::default())] };
        assert!(svg(&empty).is_ok() && png(&empty).is_ok() && svg(&Figure::default()).is_ok());
    }
}
