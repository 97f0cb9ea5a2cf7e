//! Topics as resources, what this broker is, and, for everything of the API that is not built, an answer that says so.

use tonic::{Request, Response, Status, async_trait};

use super::{
    server::{admin_server, workers_server},
    status,
    topics::{answer, masked, name, page_size, page_token, shown, version, wanted},
};
use crate::{
    broker::{Broker, TopicError, TopicPage},
    catalog::Change,
    proto,
};

#[derive(Debug)]
pub(super) struct AdminService {
    pub(super) broker: Broker,
}

#[derive(Debug)]
pub(super) struct WorkersService;

pub(super) type Answer<T> = Result<Response<T>, Status>;

#[async_trait]
impl admin_server::Admin for AdminService {
    async fn get_server_info(
        &self,
        _: Request<proto::GetServerInfoRequest>,
    ) -> Answer<proto::GetServerInfoResponse> {
        let info = self.broker.info();
        let durability = proto::Durability::from(info.backend.durability);
        Ok(Response::new(proto::GetServerInfoResponse {
            version: info.version.to_owned(),
            broker_id: info.broker_id,
            backend: info.backend.kind.to_owned(),
            durability: durability.into(),
            warnings: info.warnings,
            max_event_bytes: info.max_event_bytes as u64,
            max_request_bytes: info.max_request_bytes as u64,
        }))
    }

    async fn create_topic(
        &self,
        request: Request<proto::CreateTopicRequest>,
    ) -> Answer<proto::Topic> {
        let asked = request.into_inner().topic.unwrap_or_default();
        let created = async {
            let topic = name(&asked.name)?;
            let wanted = wanted(&topic, asked)?;
            self.broker.create_topic(&topic, wanted).await
        };
        answer(created.await.map(shown), "topic.name")
    }

    async fn get_topic(&self, request: Request<proto::GetTopicRequest>) -> Answer<proto::Topic> {
        let asked = request.into_inner();
        let found = async { self.broker.get_topic(&name(&asked.name)?).await };
        answer(found.await.map(shown), "name")
    }

    async fn list_topics(
        &self,
        request: Request<proto::ListTopicsRequest>,
    ) -> Answer<proto::ListTopicsResponse> {
        let asked = request.into_inner();
        let listed = async {
            let pattern = match asked.pattern.as_str() {
                "" => None,
                pattern => {
                    let parsed = pattern.parse().map_err(|cause| TopicError::Pattern { cause });
                    Some(parsed?)
                }
            };
            let count = page_size(asked.page_size)?;
            let after = page_token::read(&asked.page_token, &asked.pattern)?;
            self.broker.list_topics(pattern.as_ref(), after.as_deref(), count).await
        };
        let listed = listed.await.map(|TopicPage { topics, after }| proto::ListTopicsResponse {
            topics: topics.into_iter().map(shown).collect(),
            next_page_token: after
                .map(|after| page_token::of(after.as_str(), &asked.pattern))
                .unwrap_or_default(),
        });
        answer(listed, "pattern")
    }

    async fn update_topic(
        &self,
        request: Request<proto::UpdateTopicRequest>,
    ) -> Answer<proto::Topic> {
        let proto::UpdateTopicRequest { topic, update_mask } = request.into_inner();
        let asked = topic.unwrap_or_default();
        let updated = async {
            let topic = name(&asked.name)?;
            let version = version(&asked.etag, "topic.etag")?;
            let masked = update_mask.map(|mask| masked(&mask.paths)).transpose()?;
            let wanted = wanted(&topic, asked)?;
            let fields = masked.unwrap_or_else(|| wanted.fields());
            self.broker.update_topic(&topic, version, Change { fields, wanted }).await
        };
        answer(updated.await.map(shown), "topic.name")
    }

    async fn delete_topic(
        &self,
        request: Request<proto::DeleteTopicRequest>,
    ) -> Answer<proto::DeleteTopicResponse> {
        let asked = request.into_inner();
        let deleted = async {
            let version = version(&asked.etag, "etag")?;
            self.broker.delete_topic(&name(&asked.name)?, version).await
        };
        answer(deleted.await.map(|()| proto::DeleteTopicResponse {}), "name")
    }

    async fn get_group(&self, _: Request<proto::GetGroupRequest>) -> Answer<proto::Group> {
        Err(status::feature_off("Admin.GetGroup"))
    }

    async fn list_groups(
        &self,
        _: Request<proto::ListGroupsRequest>,
    ) -> Answer<proto::ListGroupsResponse> {
        Err(status::feature_off("Admin.ListGroups"))
    }

    async fn update_group(&self, _: Request<proto::UpdateGroupRequest>) -> Answer<proto::Group> {
        Err(status::feature_off("Admin.UpdateGroup"))
    }

    async fn seek_group(&self, _: Request<proto::SeekGroupRequest>) -> Answer<proto::Group> {
        Err(status::feature_off("Admin.SeekGroup"))
    }

    async fn delete_group(
        &self,
        _: Request<proto::DeleteGroupRequest>,
    ) -> Answer<proto::DeleteGroupResponse> {
        Err(status::feature_off("Admin.DeleteGroup"))
    }
}

#[async_trait]
impl workers_server::Workers for WorkersService {
    async fn pull(&self, _: Request<proto::PullRequest>) -> Answer<proto::PullResponse> {
        Err(status::feature_off("Workers.Pull"))
    }

    async fn settle(&self, _: Request<proto::SettleRequest>) -> Answer<proto::SettleResponse> {
        Err(status::feature_off("Workers.Settle"))
    }
}
