//! Which tensors a recipe names: for those who ask whether a file holds more.

use super::{Attention, Bias, Content, ExpertTensors, Factors, FeedForward, Layer, Norm, Part, PositionEmbedding, Projection, Spec};
use super::{Rope, RopeScaling};

impl Spec {
    /// Every part of the model, in no particular order; what two layers share comes twice.
    pub fn parts(&self) -> Vec<&Part> {
        let mut parts = Parts(vec![&self.embedding]);
        let projections = [&self.embedding_projection, &self.output_projection, &self.output];
        projections.into_iter().flatten().for_each(|projection| parts.projection(projection));
        parts.norms(&[&self.embedding_norm, &self.final_norm]);
        parts.0.extend(&self.token_type);
        if let Some(PositionEmbedding::Learned { table, .. }) = &self.positions {
            parts.0.push(table);
        }
        if let Some(convolution) = &self.convolution {
            parts.projection(&convolution.projection);
            parts.norm(&convolution.norm);
        }
        if let Some(encoder) = &self.encoder {
            parts.norms(&[&encoder.final_norm]);
        }
        let read = self.encoder.iter().flat_map(|encoder| &encoder.layers);
        read.chain(&self.layers).for_each(|layer| parts.layer(layer));
        parts.0
    }
}

/// Those that have been found.
struct Parts<'a>(Vec<&'a Part>);

impl<'a> Parts<'a> {
    fn layer(&mut self, layer: &'a Layer) {
        self.norms(&[&layer.attention_norm, &layer.attention_post_norm, &layer.feed_norm, &layer.feed_post_norm]);
        self.attention(&layer.attention);
        if let Some(cross) = &layer.cross {
            self.norms(&[&cross.norm]);
            self.attention(&cross.attention);
        }
        match &layer.feed {
            FeedForward::Dense(dense) => {
                dense.gate.iter().chain([&dense.up, &dense.down]).for_each(|projection| self.projection(projection));
            }
            FeedForward::Experts(experts) => {
                self.projection(&experts.router);
                for tensors in [&experts.gate, &experts.up, &experts.down] {
                    match tensors {
                        ExpertTensors::Stacked(part) => self.0.push(part),
                        ExpertTensors::Each(parts) => self.0.extend(parts),
                    }
                }
            }
        }
    }

    fn attention(&mut self, attention: &'a Attention) {
        [&attention.q, &attention.k, &attention.v, &attention.o].into_iter().for_each(|projection| self.projection(projection));
        attention.qk_norm.iter().flat_map(|norms| norms.q.iter().chain(&norms.k)).for_each(|norm| self.norm(norm));
        attention.rope.iter().for_each(|rope| self.rope(rope));
        if let Some(Bias::Buckets { table, .. } | Bias::Clipped { table, .. }) = &attention.bias {
            self.0.push(table);
        }
        match &attention.content {
            None => {}
            Some(Content::Clipped(vectors)) => self.0.push(&vectors.table),
            Some(Content::RelativeSinusoids(sinusoids)) => {
                self.projection(&sinusoids.projection);
                self.0.extend([&sinusoids.content_bias, &sinusoids.position_bias]);
            }
            Some(Content::Disentangled(vectors)) => {
                self.0.push(&vectors.table);
                vectors.norm.iter().for_each(|norm| self.norm(norm));
                vectors.keys.iter().chain(&vectors.queries).for_each(|projection| self.projection(projection));
            }
        }
    }

    fn rope(&mut self, rope: &'a Rope) {
        self.0.extend(&rope.factors);
        if let RopeScaling::LongRope { short, long, .. } = &rope.scaling {
            for factors in [short, long] {
                if let Factors::Tensor(part) = factors {
                    self.0.push(part);
                }
            }
        }
    }

    fn projection(&mut self, projection: &'a Projection) {
        self.0.push(&projection.weight);
        self.0.extend(&projection.bias);
    }

    fn norms(&mut self, norms: &[&'a Option<Norm>]) {
        norms.iter().filter_map(|norm| norm.as_ref()).for_each(|norm| self.norm(norm));
    }

    fn norm(&mut self, norm: &'a Norm) {
        self.0.extend(norm.weight.iter().chain(&norm.bias));
    }
}
