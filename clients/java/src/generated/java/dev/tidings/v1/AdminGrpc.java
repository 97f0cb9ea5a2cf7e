package dev.tidings.v1;

import static io.grpc.MethodDescriptor.generateFullMethodName;

/**
 * <pre>
 * Topics, the groups on them, and what this broker is.
 * </pre>
 */
@io.grpc.stub.annotations.GrpcGenerated
public final class AdminGrpc {

  private AdminGrpc() {}

  public static final java.lang.String SERVICE_NAME = "tidings.v1.Admin";

  // Static method descriptors that strictly reflect the proto.
  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.GetServerInfoRequest,
      dev.tidings.v1.GetServerInfoResponse> getGetServerInfoMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetServerInfo",
      requestType = dev.tidings.v1.GetServerInfoRequest.class,
      responseType = dev.tidings.v1.GetServerInfoResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.GetServerInfoRequest,
      dev.tidings.v1.GetServerInfoResponse> getGetServerInfoMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.GetServerInfoRequest, dev.tidings.v1.GetServerInfoResponse> getGetServerInfoMethod;
    if ((getGetServerInfoMethod = AdminGrpc.getGetServerInfoMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getGetServerInfoMethod = AdminGrpc.getGetServerInfoMethod) == null) {
          AdminGrpc.getGetServerInfoMethod = getGetServerInfoMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.GetServerInfoRequest, dev.tidings.v1.GetServerInfoResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetServerInfo"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.GetServerInfoRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.GetServerInfoResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("GetServerInfo"))
              .build();
        }
      }
    }
    return getGetServerInfoMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.CreateTopicRequest,
      dev.tidings.v1.Topic> getCreateTopicMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "CreateTopic",
      requestType = dev.tidings.v1.CreateTopicRequest.class,
      responseType = dev.tidings.v1.Topic.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.CreateTopicRequest,
      dev.tidings.v1.Topic> getCreateTopicMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.CreateTopicRequest, dev.tidings.v1.Topic> getCreateTopicMethod;
    if ((getCreateTopicMethod = AdminGrpc.getCreateTopicMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getCreateTopicMethod = AdminGrpc.getCreateTopicMethod) == null) {
          AdminGrpc.getCreateTopicMethod = getCreateTopicMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.CreateTopicRequest, dev.tidings.v1.Topic>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "CreateTopic"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.CreateTopicRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.Topic.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("CreateTopic"))
              .build();
        }
      }
    }
    return getCreateTopicMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.GetTopicRequest,
      dev.tidings.v1.Topic> getGetTopicMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetTopic",
      requestType = dev.tidings.v1.GetTopicRequest.class,
      responseType = dev.tidings.v1.Topic.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.GetTopicRequest,
      dev.tidings.v1.Topic> getGetTopicMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.GetTopicRequest, dev.tidings.v1.Topic> getGetTopicMethod;
    if ((getGetTopicMethod = AdminGrpc.getGetTopicMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getGetTopicMethod = AdminGrpc.getGetTopicMethod) == null) {
          AdminGrpc.getGetTopicMethod = getGetTopicMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.GetTopicRequest, dev.tidings.v1.Topic>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetTopic"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.GetTopicRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.Topic.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("GetTopic"))
              .build();
        }
      }
    }
    return getGetTopicMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.ListTopicsRequest,
      dev.tidings.v1.ListTopicsResponse> getListTopicsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListTopics",
      requestType = dev.tidings.v1.ListTopicsRequest.class,
      responseType = dev.tidings.v1.ListTopicsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.ListTopicsRequest,
      dev.tidings.v1.ListTopicsResponse> getListTopicsMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.ListTopicsRequest, dev.tidings.v1.ListTopicsResponse> getListTopicsMethod;
    if ((getListTopicsMethod = AdminGrpc.getListTopicsMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getListTopicsMethod = AdminGrpc.getListTopicsMethod) == null) {
          AdminGrpc.getListTopicsMethod = getListTopicsMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.ListTopicsRequest, dev.tidings.v1.ListTopicsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListTopics"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.ListTopicsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.ListTopicsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("ListTopics"))
              .build();
        }
      }
    }
    return getListTopicsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.UpdateTopicRequest,
      dev.tidings.v1.Topic> getUpdateTopicMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateTopic",
      requestType = dev.tidings.v1.UpdateTopicRequest.class,
      responseType = dev.tidings.v1.Topic.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.UpdateTopicRequest,
      dev.tidings.v1.Topic> getUpdateTopicMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.UpdateTopicRequest, dev.tidings.v1.Topic> getUpdateTopicMethod;
    if ((getUpdateTopicMethod = AdminGrpc.getUpdateTopicMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getUpdateTopicMethod = AdminGrpc.getUpdateTopicMethod) == null) {
          AdminGrpc.getUpdateTopicMethod = getUpdateTopicMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.UpdateTopicRequest, dev.tidings.v1.Topic>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateTopic"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.UpdateTopicRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.Topic.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("UpdateTopic"))
              .build();
        }
      }
    }
    return getUpdateTopicMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.DeleteTopicRequest,
      dev.tidings.v1.DeleteTopicResponse> getDeleteTopicMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteTopic",
      requestType = dev.tidings.v1.DeleteTopicRequest.class,
      responseType = dev.tidings.v1.DeleteTopicResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.DeleteTopicRequest,
      dev.tidings.v1.DeleteTopicResponse> getDeleteTopicMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.DeleteTopicRequest, dev.tidings.v1.DeleteTopicResponse> getDeleteTopicMethod;
    if ((getDeleteTopicMethod = AdminGrpc.getDeleteTopicMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getDeleteTopicMethod = AdminGrpc.getDeleteTopicMethod) == null) {
          AdminGrpc.getDeleteTopicMethod = getDeleteTopicMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.DeleteTopicRequest, dev.tidings.v1.DeleteTopicResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteTopic"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.DeleteTopicRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.DeleteTopicResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("DeleteTopic"))
              .build();
        }
      }
    }
    return getDeleteTopicMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.GetGroupRequest,
      dev.tidings.v1.Group> getGetGroupMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "GetGroup",
      requestType = dev.tidings.v1.GetGroupRequest.class,
      responseType = dev.tidings.v1.Group.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.GetGroupRequest,
      dev.tidings.v1.Group> getGetGroupMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.GetGroupRequest, dev.tidings.v1.Group> getGetGroupMethod;
    if ((getGetGroupMethod = AdminGrpc.getGetGroupMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getGetGroupMethod = AdminGrpc.getGetGroupMethod) == null) {
          AdminGrpc.getGetGroupMethod = getGetGroupMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.GetGroupRequest, dev.tidings.v1.Group>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "GetGroup"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.GetGroupRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.Group.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("GetGroup"))
              .build();
        }
      }
    }
    return getGetGroupMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.ListGroupsRequest,
      dev.tidings.v1.ListGroupsResponse> getListGroupsMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "ListGroups",
      requestType = dev.tidings.v1.ListGroupsRequest.class,
      responseType = dev.tidings.v1.ListGroupsResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.ListGroupsRequest,
      dev.tidings.v1.ListGroupsResponse> getListGroupsMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.ListGroupsRequest, dev.tidings.v1.ListGroupsResponse> getListGroupsMethod;
    if ((getListGroupsMethod = AdminGrpc.getListGroupsMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getListGroupsMethod = AdminGrpc.getListGroupsMethod) == null) {
          AdminGrpc.getListGroupsMethod = getListGroupsMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.ListGroupsRequest, dev.tidings.v1.ListGroupsResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "ListGroups"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.ListGroupsRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.ListGroupsResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("ListGroups"))
              .build();
        }
      }
    }
    return getListGroupsMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.UpdateGroupRequest,
      dev.tidings.v1.Group> getUpdateGroupMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "UpdateGroup",
      requestType = dev.tidings.v1.UpdateGroupRequest.class,
      responseType = dev.tidings.v1.Group.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.UpdateGroupRequest,
      dev.tidings.v1.Group> getUpdateGroupMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.UpdateGroupRequest, dev.tidings.v1.Group> getUpdateGroupMethod;
    if ((getUpdateGroupMethod = AdminGrpc.getUpdateGroupMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getUpdateGroupMethod = AdminGrpc.getUpdateGroupMethod) == null) {
          AdminGrpc.getUpdateGroupMethod = getUpdateGroupMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.UpdateGroupRequest, dev.tidings.v1.Group>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "UpdateGroup"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.UpdateGroupRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.Group.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("UpdateGroup"))
              .build();
        }
      }
    }
    return getUpdateGroupMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.SeekGroupRequest,
      dev.tidings.v1.Group> getSeekGroupMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "SeekGroup",
      requestType = dev.tidings.v1.SeekGroupRequest.class,
      responseType = dev.tidings.v1.Group.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.SeekGroupRequest,
      dev.tidings.v1.Group> getSeekGroupMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.SeekGroupRequest, dev.tidings.v1.Group> getSeekGroupMethod;
    if ((getSeekGroupMethod = AdminGrpc.getSeekGroupMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getSeekGroupMethod = AdminGrpc.getSeekGroupMethod) == null) {
          AdminGrpc.getSeekGroupMethod = getSeekGroupMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.SeekGroupRequest, dev.tidings.v1.Group>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "SeekGroup"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.SeekGroupRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.Group.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("SeekGroup"))
              .build();
        }
      }
    }
    return getSeekGroupMethod;
  }

  private static volatile io.grpc.MethodDescriptor<dev.tidings.v1.DeleteGroupRequest,
      dev.tidings.v1.DeleteGroupResponse> getDeleteGroupMethod;

  @io.grpc.stub.annotations.RpcMethod(
      fullMethodName = SERVICE_NAME + '/' + "DeleteGroup",
      requestType = dev.tidings.v1.DeleteGroupRequest.class,
      responseType = dev.tidings.v1.DeleteGroupResponse.class,
      methodType = io.grpc.MethodDescriptor.MethodType.UNARY)
  public static io.grpc.MethodDescriptor<dev.tidings.v1.DeleteGroupRequest,
      dev.tidings.v1.DeleteGroupResponse> getDeleteGroupMethod() {
    io.grpc.MethodDescriptor<dev.tidings.v1.DeleteGroupRequest, dev.tidings.v1.DeleteGroupResponse> getDeleteGroupMethod;
    if ((getDeleteGroupMethod = AdminGrpc.getDeleteGroupMethod) == null) {
      synchronized (AdminGrpc.class) {
        if ((getDeleteGroupMethod = AdminGrpc.getDeleteGroupMethod) == null) {
          AdminGrpc.getDeleteGroupMethod = getDeleteGroupMethod =
              io.grpc.MethodDescriptor.<dev.tidings.v1.DeleteGroupRequest, dev.tidings.v1.DeleteGroupResponse>newBuilder()
              .setType(io.grpc.MethodDescriptor.MethodType.UNARY)
              .setFullMethodName(generateFullMethodName(SERVICE_NAME, "DeleteGroup"))
              .setSampledToLocalTracing(true)
              .setRequestMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.DeleteGroupRequest.getDefaultInstance()))
              .setResponseMarshaller(io.grpc.protobuf.ProtoUtils.marshaller(
                  dev.tidings.v1.DeleteGroupResponse.getDefaultInstance()))
              .setSchemaDescriptor(new AdminMethodDescriptorSupplier("DeleteGroup"))
              .build();
        }
      }
    }
    return getDeleteGroupMethod;
  }

  /**
   * Creates a new async stub that supports all call types for the service
   */
  public static AdminStub newStub(io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminStub>() {
        @java.lang.Override
        public AdminStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminStub(channel, callOptions);
        }
      };
    return AdminStub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports all types of calls on the service
   */
  public static AdminBlockingV2Stub newBlockingV2Stub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminBlockingV2Stub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminBlockingV2Stub>() {
        @java.lang.Override
        public AdminBlockingV2Stub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminBlockingV2Stub(channel, callOptions);
        }
      };
    return AdminBlockingV2Stub.newStub(factory, channel);
  }

  /**
   * Creates a new blocking-style stub that supports unary and streaming output calls on the service
   */
  public static AdminBlockingStub newBlockingStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminBlockingStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminBlockingStub>() {
        @java.lang.Override
        public AdminBlockingStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminBlockingStub(channel, callOptions);
        }
      };
    return AdminBlockingStub.newStub(factory, channel);
  }

  /**
   * Creates a new ListenableFuture-style stub that supports unary calls on the service
   */
  public static AdminFutureStub newFutureStub(
      io.grpc.Channel channel) {
    io.grpc.stub.AbstractStub.StubFactory<AdminFutureStub> factory =
      new io.grpc.stub.AbstractStub.StubFactory<AdminFutureStub>() {
        @java.lang.Override
        public AdminFutureStub newStub(io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
          return new AdminFutureStub(channel, callOptions);
        }
      };
    return AdminFutureStub.newStub(factory, channel);
  }

  /**
   * <pre>
   * Topics, the groups on them, and what this broker is.
   * </pre>
   */
  public interface AsyncService {

    /**
     */
    default void getServerInfo(dev.tidings.v1.GetServerInfoRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.GetServerInfoResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetServerInfoMethod(), responseObserver);
    }

    /**
     */
    default void createTopic(dev.tidings.v1.CreateTopicRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Topic> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getCreateTopicMethod(), responseObserver);
    }

    /**
     */
    default void getTopic(dev.tidings.v1.GetTopicRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Topic> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetTopicMethod(), responseObserver);
    }

    /**
     */
    default void listTopics(dev.tidings.v1.ListTopicsRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.ListTopicsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListTopicsMethod(), responseObserver);
    }

    /**
     */
    default void updateTopic(dev.tidings.v1.UpdateTopicRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Topic> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateTopicMethod(), responseObserver);
    }

    /**
     */
    default void deleteTopic(dev.tidings.v1.DeleteTopicRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteTopicResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteTopicMethod(), responseObserver);
    }

    /**
     */
    default void getGroup(dev.tidings.v1.GetGroupRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Group> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getGetGroupMethod(), responseObserver);
    }

    /**
     */
    default void listGroups(dev.tidings.v1.ListGroupsRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.ListGroupsResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getListGroupsMethod(), responseObserver);
    }

    /**
     */
    default void updateGroup(dev.tidings.v1.UpdateGroupRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Group> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getUpdateGroupMethod(), responseObserver);
    }

    /**
     * <pre>
     * Moves the whole group; deliveries in flight lose their lease.
     * </pre>
     */
    default void seekGroup(dev.tidings.v1.SeekGroupRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Group> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getSeekGroupMethod(), responseObserver);
    }

    /**
     */
    default void deleteGroup(dev.tidings.v1.DeleteGroupRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteGroupResponse> responseObserver) {
      io.grpc.stub.ServerCalls.asyncUnimplementedUnaryCall(getDeleteGroupMethod(), responseObserver);
    }
  }

  /**
   * Base class for the server implementation of the service Admin.
   * <pre>
   * Topics, the groups on them, and what this broker is.
   * </pre>
   */
  public static abstract class AdminImplBase
      implements io.grpc.BindableService, AsyncService {

    @java.lang.Override public final io.grpc.ServerServiceDefinition bindService() {
      return AdminGrpc.bindService(this);
    }
  }

  /**
   * A stub to allow clients to do asynchronous rpc calls to service Admin.
   * <pre>
   * Topics, the groups on them, and what this broker is.
   * </pre>
   */
  public static final class AdminStub
      extends io.grpc.stub.AbstractAsyncStub<AdminStub> {
    private AdminStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminStub(channel, callOptions);
    }

    /**
     */
    public void getServerInfo(dev.tidings.v1.GetServerInfoRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.GetServerInfoResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetServerInfoMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void createTopic(dev.tidings.v1.CreateTopicRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Topic> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getCreateTopicMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void getTopic(dev.tidings.v1.GetTopicRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Topic> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetTopicMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void listTopics(dev.tidings.v1.ListTopicsRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.ListTopicsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListTopicsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void updateTopic(dev.tidings.v1.UpdateTopicRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Topic> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateTopicMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void deleteTopic(dev.tidings.v1.DeleteTopicRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteTopicResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteTopicMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void getGroup(dev.tidings.v1.GetGroupRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Group> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getGetGroupMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void listGroups(dev.tidings.v1.ListGroupsRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.ListGroupsResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getListGroupsMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void updateGroup(dev.tidings.v1.UpdateGroupRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Group> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getUpdateGroupMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     * <pre>
     * Moves the whole group; deliveries in flight lose their lease.
     * </pre>
     */
    public void seekGroup(dev.tidings.v1.SeekGroupRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.Group> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getSeekGroupMethod(), getCallOptions()), request, responseObserver);
    }

    /**
     */
    public void deleteGroup(dev.tidings.v1.DeleteGroupRequest request,
        io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteGroupResponse> responseObserver) {
      io.grpc.stub.ClientCalls.asyncUnaryCall(
          getChannel().newCall(getDeleteGroupMethod(), getCallOptions()), request, responseObserver);
    }
  }

  /**
   * A stub to allow clients to do synchronous rpc calls to service Admin.
   * <pre>
   * Topics, the groups on them, and what this broker is.
   * </pre>
   */
  public static final class AdminBlockingV2Stub
      extends io.grpc.stub.AbstractBlockingStub<AdminBlockingV2Stub> {
    private AdminBlockingV2Stub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminBlockingV2Stub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminBlockingV2Stub(channel, callOptions);
    }

    /**
     */
    public dev.tidings.v1.GetServerInfoResponse getServerInfo(dev.tidings.v1.GetServerInfoRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetServerInfoMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Topic createTopic(dev.tidings.v1.CreateTopicRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getCreateTopicMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Topic getTopic(dev.tidings.v1.GetTopicRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetTopicMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.ListTopicsResponse listTopics(dev.tidings.v1.ListTopicsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListTopicsMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Topic updateTopic(dev.tidings.v1.UpdateTopicRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateTopicMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.DeleteTopicResponse deleteTopic(dev.tidings.v1.DeleteTopicRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteTopicMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Group getGroup(dev.tidings.v1.GetGroupRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getGetGroupMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.ListGroupsResponse listGroups(dev.tidings.v1.ListGroupsRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getListGroupsMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Group updateGroup(dev.tidings.v1.UpdateGroupRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getUpdateGroupMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Moves the whole group; deliveries in flight lose their lease.
     * </pre>
     */
    public dev.tidings.v1.Group seekGroup(dev.tidings.v1.SeekGroupRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getSeekGroupMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.DeleteGroupResponse deleteGroup(dev.tidings.v1.DeleteGroupRequest request) throws io.grpc.StatusException {
      return io.grpc.stub.ClientCalls.blockingV2UnaryCall(
          getChannel(), getDeleteGroupMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do limited synchronous rpc calls to service Admin.
   * <pre>
   * Topics, the groups on them, and what this broker is.
   * </pre>
   */
  public static final class AdminBlockingStub
      extends io.grpc.stub.AbstractBlockingStub<AdminBlockingStub> {
    private AdminBlockingStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminBlockingStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminBlockingStub(channel, callOptions);
    }

    /**
     */
    public dev.tidings.v1.GetServerInfoResponse getServerInfo(dev.tidings.v1.GetServerInfoRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetServerInfoMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Topic createTopic(dev.tidings.v1.CreateTopicRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getCreateTopicMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Topic getTopic(dev.tidings.v1.GetTopicRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetTopicMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.ListTopicsResponse listTopics(dev.tidings.v1.ListTopicsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListTopicsMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Topic updateTopic(dev.tidings.v1.UpdateTopicRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateTopicMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.DeleteTopicResponse deleteTopic(dev.tidings.v1.DeleteTopicRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteTopicMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Group getGroup(dev.tidings.v1.GetGroupRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getGetGroupMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.ListGroupsResponse listGroups(dev.tidings.v1.ListGroupsRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getListGroupsMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.Group updateGroup(dev.tidings.v1.UpdateGroupRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getUpdateGroupMethod(), getCallOptions(), request);
    }

    /**
     * <pre>
     * Moves the whole group; deliveries in flight lose their lease.
     * </pre>
     */
    public dev.tidings.v1.Group seekGroup(dev.tidings.v1.SeekGroupRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getSeekGroupMethod(), getCallOptions(), request);
    }

    /**
     */
    public dev.tidings.v1.DeleteGroupResponse deleteGroup(dev.tidings.v1.DeleteGroupRequest request) {
      return io.grpc.stub.ClientCalls.blockingUnaryCall(
          getChannel(), getDeleteGroupMethod(), getCallOptions(), request);
    }
  }

  /**
   * A stub to allow clients to do ListenableFuture-style rpc calls to service Admin.
   * <pre>
   * Topics, the groups on them, and what this broker is.
   * </pre>
   */
  public static final class AdminFutureStub
      extends io.grpc.stub.AbstractFutureStub<AdminFutureStub> {
    private AdminFutureStub(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      super(channel, callOptions);
    }

    @java.lang.Override
    protected AdminFutureStub build(
        io.grpc.Channel channel, io.grpc.CallOptions callOptions) {
      return new AdminFutureStub(channel, callOptions);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.GetServerInfoResponse> getServerInfo(
        dev.tidings.v1.GetServerInfoRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetServerInfoMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.Topic> createTopic(
        dev.tidings.v1.CreateTopicRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getCreateTopicMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.Topic> getTopic(
        dev.tidings.v1.GetTopicRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetTopicMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.ListTopicsResponse> listTopics(
        dev.tidings.v1.ListTopicsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListTopicsMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.Topic> updateTopic(
        dev.tidings.v1.UpdateTopicRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateTopicMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.DeleteTopicResponse> deleteTopic(
        dev.tidings.v1.DeleteTopicRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteTopicMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.Group> getGroup(
        dev.tidings.v1.GetGroupRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getGetGroupMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.ListGroupsResponse> listGroups(
        dev.tidings.v1.ListGroupsRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getListGroupsMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.Group> updateGroup(
        dev.tidings.v1.UpdateGroupRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getUpdateGroupMethod(), getCallOptions()), request);
    }

    /**
     * <pre>
     * Moves the whole group; deliveries in flight lose their lease.
     * </pre>
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.Group> seekGroup(
        dev.tidings.v1.SeekGroupRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getSeekGroupMethod(), getCallOptions()), request);
    }

    /**
     */
    public com.google.common.util.concurrent.ListenableFuture<dev.tidings.v1.DeleteGroupResponse> deleteGroup(
        dev.tidings.v1.DeleteGroupRequest request) {
      return io.grpc.stub.ClientCalls.futureUnaryCall(
          getChannel().newCall(getDeleteGroupMethod(), getCallOptions()), request);
    }
  }

  private static final int METHODID_GET_SERVER_INFO = 0;
  private static final int METHODID_CREATE_TOPIC = 1;
  private static final int METHODID_GET_TOPIC = 2;
  private static final int METHODID_LIST_TOPICS = 3;
  private static final int METHODID_UPDATE_TOPIC = 4;
  private static final int METHODID_DELETE_TOPIC = 5;
  private static final int METHODID_GET_GROUP = 6;
  private static final int METHODID_LIST_GROUPS = 7;
  private static final int METHODID_UPDATE_GROUP = 8;
  private static final int METHODID_SEEK_GROUP = 9;
  private static final int METHODID_DELETE_GROUP = 10;

  private static final class MethodHandlers<Req, Resp> implements
      io.grpc.stub.ServerCalls.UnaryMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ServerStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.ClientStreamingMethod<Req, Resp>,
      io.grpc.stub.ServerCalls.BidiStreamingMethod<Req, Resp> {
    private final AsyncService serviceImpl;
    private final int methodId;

    MethodHandlers(AsyncService serviceImpl, int methodId) {
      this.serviceImpl = serviceImpl;
      this.methodId = methodId;
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public void invoke(Req request, io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        case METHODID_GET_SERVER_INFO:
          serviceImpl.getServerInfo((dev.tidings.v1.GetServerInfoRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.GetServerInfoResponse>) responseObserver);
          break;
        case METHODID_CREATE_TOPIC:
          serviceImpl.createTopic((dev.tidings.v1.CreateTopicRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.Topic>) responseObserver);
          break;
        case METHODID_GET_TOPIC:
          serviceImpl.getTopic((dev.tidings.v1.GetTopicRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.Topic>) responseObserver);
          break;
        case METHODID_LIST_TOPICS:
          serviceImpl.listTopics((dev.tidings.v1.ListTopicsRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.ListTopicsResponse>) responseObserver);
          break;
        case METHODID_UPDATE_TOPIC:
          serviceImpl.updateTopic((dev.tidings.v1.UpdateTopicRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.Topic>) responseObserver);
          break;
        case METHODID_DELETE_TOPIC:
          serviceImpl.deleteTopic((dev.tidings.v1.DeleteTopicRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteTopicResponse>) responseObserver);
          break;
        case METHODID_GET_GROUP:
          serviceImpl.getGroup((dev.tidings.v1.GetGroupRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.Group>) responseObserver);
          break;
        case METHODID_LIST_GROUPS:
          serviceImpl.listGroups((dev.tidings.v1.ListGroupsRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.ListGroupsResponse>) responseObserver);
          break;
        case METHODID_UPDATE_GROUP:
          serviceImpl.updateGroup((dev.tidings.v1.UpdateGroupRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.Group>) responseObserver);
          break;
        case METHODID_SEEK_GROUP:
          serviceImpl.seekGroup((dev.tidings.v1.SeekGroupRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.Group>) responseObserver);
          break;
        case METHODID_DELETE_GROUP:
          serviceImpl.deleteGroup((dev.tidings.v1.DeleteGroupRequest) request,
              (io.grpc.stub.StreamObserver<dev.tidings.v1.DeleteGroupResponse>) responseObserver);
          break;
        default:
          throw new AssertionError();
      }
    }

    @java.lang.Override
    @java.lang.SuppressWarnings("unchecked")
    public io.grpc.stub.StreamObserver<Req> invoke(
        io.grpc.stub.StreamObserver<Resp> responseObserver) {
      switch (methodId) {
        default:
          throw new AssertionError();
      }
    }
  }

  public static final io.grpc.ServerServiceDefinition bindService(AsyncService service) {
    return io.grpc.ServerServiceDefinition.builder(getServiceDescriptor())
        .addMethod(
          getGetServerInfoMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.GetServerInfoRequest,
              dev.tidings.v1.GetServerInfoResponse>(
                service, METHODID_GET_SERVER_INFO)))
        .addMethod(
          getCreateTopicMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.CreateTopicRequest,
              dev.tidings.v1.Topic>(
                service, METHODID_CREATE_TOPIC)))
        .addMethod(
          getGetTopicMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.GetTopicRequest,
              dev.tidings.v1.Topic>(
                service, METHODID_GET_TOPIC)))
        .addMethod(
          getListTopicsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.ListTopicsRequest,
              dev.tidings.v1.ListTopicsResponse>(
                service, METHODID_LIST_TOPICS)))
        .addMethod(
          getUpdateTopicMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.UpdateTopicRequest,
              dev.tidings.v1.Topic>(
                service, METHODID_UPDATE_TOPIC)))
        .addMethod(
          getDeleteTopicMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.DeleteTopicRequest,
              dev.tidings.v1.DeleteTopicResponse>(
                service, METHODID_DELETE_TOPIC)))
        .addMethod(
          getGetGroupMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.GetGroupRequest,
              dev.tidings.v1.Group>(
                service, METHODID_GET_GROUP)))
        .addMethod(
          getListGroupsMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.ListGroupsRequest,
              dev.tidings.v1.ListGroupsResponse>(
                service, METHODID_LIST_GROUPS)))
        .addMethod(
          getUpdateGroupMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.UpdateGroupRequest,
              dev.tidings.v1.Group>(
                service, METHODID_UPDATE_GROUP)))
        .addMethod(
          getSeekGroupMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.SeekGroupRequest,
              dev.tidings.v1.Group>(
                service, METHODID_SEEK_GROUP)))
        .addMethod(
          getDeleteGroupMethod(),
          io.grpc.stub.ServerCalls.asyncUnaryCall(
            new MethodHandlers<
              dev.tidings.v1.DeleteGroupRequest,
              dev.tidings.v1.DeleteGroupResponse>(
                service, METHODID_DELETE_GROUP)))
        .build();
  }

  private static abstract class AdminBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoFileDescriptorSupplier, io.grpc.protobuf.ProtoServiceDescriptorSupplier {
    AdminBaseDescriptorSupplier() {}

    @java.lang.Override
    public com.google.protobuf.Descriptors.FileDescriptor getFileDescriptor() {
      return dev.tidings.v1.AdminProto.getDescriptor();
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.ServiceDescriptor getServiceDescriptor() {
      return getFileDescriptor().findServiceByName("Admin");
    }
  }

  private static final class AdminFileDescriptorSupplier
      extends AdminBaseDescriptorSupplier {
    AdminFileDescriptorSupplier() {}
  }

  private static final class AdminMethodDescriptorSupplier
      extends AdminBaseDescriptorSupplier
      implements io.grpc.protobuf.ProtoMethodDescriptorSupplier {
    private final java.lang.String methodName;

    AdminMethodDescriptorSupplier(java.lang.String methodName) {
      this.methodName = methodName;
    }

    @java.lang.Override
    public com.google.protobuf.Descriptors.MethodDescriptor getMethodDescriptor() {
      return getServiceDescriptor().findMethodByName(methodName);
    }
  }

  private static volatile io.grpc.ServiceDescriptor serviceDescriptor;

  public static io.grpc.ServiceDescriptor getServiceDescriptor() {
    io.grpc.ServiceDescriptor result = serviceDescriptor;
    if (result == null) {
      synchronized (AdminGrpc.class) {
        result = serviceDescriptor;
        if (result == null) {
          serviceDescriptor = result = io.grpc.ServiceDescriptor.newBuilder(SERVICE_NAME)
              .setSchemaDescriptor(new AdminFileDescriptorSupplier())
              .addMethod(getGetServerInfoMethod())
              .addMethod(getCreateTopicMethod())
              .addMethod(getGetTopicMethod())
              .addMethod(getListTopicsMethod())
              .addMethod(getUpdateTopicMethod())
              .addMethod(getDeleteTopicMethod())
              .addMethod(getGetGroupMethod())
              .addMethod(getListGroupsMethod())
              .addMethod(getUpdateGroupMethod())
              .addMethod(getSeekGroupMethod())
              .addMethod(getDeleteGroupMethod())
              .build();
        }
      }
    }
    return result;
  }
}
