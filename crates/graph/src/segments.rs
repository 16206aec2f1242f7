//! Scans, plain and in segments.

use bespoke_tensor::Shape;

use crate::{
    Body, Graph, GraphError, NodeId,
    op::{Concatenate, Scan, Slice},
};

impl Graph {
    /// All results of a scan: the last carried values, then what the steps give.
    ///
    /// # Errors
    /// [`GraphError`] if the scan does not take these operands.
    pub fn scan(&mut self, scan: &Scan, operands: &[NodeId]) -> Result<Vec<NodeId>, GraphError> {
        (0..scan.body.outputs().len()).map(|i| self.add(scan.of_result(i), operands)).collect()
    }

    /// All results of a scan that runs as a scan of segments of `segment` steps, each a scan: a gradient keeps the carried
    /// values between segments only, and runs one segment after the other again to get what it needs of its steps. With
    /// segments of √T steps, T steps need memory for 2√T (Griewank 1992, *Achieving logarithmic growth of temporal and
    /// spatial complexity in reverse automatic differentiation*).
    ///
    /// # Errors
    /// [`GraphError`] if the scan does not take these operands, or has no room for one more axis.
    pub fn segmented_scan(
        &mut self,
        scan: &Scan,
        operands: &[NodeId],
        segment: usize,
    ) -> Result<Vec<NodeId>, GraphError> {
        let segment = segment.clamp(1, scan.length.max(1));
        let whole = scan.length / segment * segment;
        if whole == 0 || segment == scan.length {
            let results = self.scan(scan, operands)?;
            return Ok(results);
        }
        if whole == scan.length {
            return self.segments(scan, operands, segment);
        }
        // The steps that fill no segment run by themselves: the last ones, or, from the last to the first, the first.
        let (carried, stepped) = (scan.carried, scan.stepped);
        let piece = |graph: &mut Graph, carry: &[NodeId], from: usize, to: usize| {
            let mut inputs = carry.to_vec();
            for &stacked in &operands[carried..carried + stepped] {
                inputs.push(slice(graph, stacked, from, to)?);
            }
            inputs.extend(&operands[carried + stepped..]);
            let part = Scan { length: to - from, ..scan.clone() };
            if to == whole { graph.segments(&part, &inputs, segment) } else { graph.scan(&part, &inputs) }
        };
        let (start, end) = ((0, whole), (whole, scan.length));
        let (first, second) = if scan.reverse { (end, start) } else { (start, end) };
        let before = piece(self, &operands[..carried], first.0, first.1)?;
        let after = piece(self, &before[..carried], second.0, second.1)?;
        let mut results = after[..carried].to_vec();
        for (&x, &y) in before[carried..].iter().zip(&after[carried..]) {
            let parts = if scan.reverse { [y, x] } else { [x, y] };
            results.push(self.add(Concatenate { axis: 0 }, &parts)?);
        }
        Ok(results)
    }

    /// A scan over segments, of which its length is a multiple.
    fn segments(
        &mut self,
        scan: &Scan,
        operands: &[NodeId],
        segment: usize,
    ) -> Result<Vec<NodeId>, GraphError> {
        let count = scan.length / segment;
        let inner = Scan { length: segment, ..scan.clone() };
        let is_stepped = |i: usize| (scan.carried..scan.carried + scan.stepped).contains(&i);
        let mut body = Graph::new();
        let mut parameters = vec![];
        let mut arguments = vec![];
        for (i, &operand) in operands.iter().enumerate() {
            let mut argument = operand;
            let mut ty = self.ty(operand);
            if is_stepped(i) && ty.rank() > 0 {
                let rest = ty.shape[1..].to_vec();
                argument = self.reshaped(operand, &[&[count, segment], &rest[..]].concat())?;
                ty.shape = self.shape_of(&[&[segment], &rest[..]].concat())?;
            }
            parameters.push(body.input(&format!("x{i}"), ty)?);
            arguments.push(argument);
        }
        for (i, id) in body.scan(&inner, &parameters)?.into_iter().enumerate() {
            body.set_output(&format!("y{i}"), id)?;
        }
        let outer = Scan { body: Body::new(body), length: count, recompute: true, ..scan.clone() };
        let mut results = self.scan(&outer, &arguments)?;
        for id in &mut results[scan.carried..] {
            let dims = self.ty(*id).shape;
            *id = self.reshaped(*id, &[&[scan.length], &dims[2..]].concat())?;
        }
        Ok(results)
    }

    fn reshaped(&mut self, x: NodeId, dims: &[usize]) -> Result<NodeId, GraphError> {
        let shape = self.shape_of(dims)?;
        Ok(self.reshape(x, shape))
    }

    fn shape_of(&self, dims: &[usize]) -> Result<Shape, GraphError> {
        Shape::new(dims).map_err(|e| self.misuse("scan", e.to_string()))
    }
}

/// Steps `from..to` of a stacked operand.
fn slice(graph: &mut Graph, stacked: NodeId, from: usize, to: usize) -> Result<NodeId, GraphError> {
    let dims = graph.ty(stacked).shape;
    let mut slice = Slice { start: vec![0; dims.rank()], limit: dims.to_vec(), step: vec![1; dims.rank()] };
    if dims.rank() > 0 {
        (slice.start[0], slice.limit[0]) = (from, to.min(dims[0]));
    }
    graph.add(slice, &[stacked])
}
